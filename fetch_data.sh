#!/usr/bin/env bash
# fetch_data.sh - fetch Omniglot and Mini-ImageNet, ready for training
#
# Usage:  ./fetch_data.sh                   both data sets
#         ./fetch_data.sh omniglot          data/omniglot/      (16 MB to fetch)
#         ./fetch_data.sh miniimagenet      data/miniimagenet/  (1.8 GB to fetch)
#         ./fetch_data.sh --help            this text
#
# Interrupted at any point, it leaves nothing half-done under the final names; run it again
# and it continues where it stopped. What is there already is neither fetched again nor
# overwritten. At the end 'reptile data verify' looks through everything and its verdict is
# printed. Exit status: 0 done, 1 failure (or the verdict is 'broken'), 2 wrong usage.
# Needed: bash, curl, python3 and either md5sum or md5.
#
# Omniglot: images_background.zip and images_evaluation.zip of the data set's author
# (github.com/brendenlake/omniglot), checked by md5, unpacked to folders of the same names.
#
# Mini-ImageNet: mini-imagenet-cache-train.pkl, -validation.pkl and -test.pkl from
# zenodo.org/records/7978538, kept as they are: run_miniimagenet.py and 'reptile' read them
# directly and decode them once. The original program built the set from image-net.org,
# which needs a login today. Other ways to get it:
#   - Ravi & Larochelle's train.csv, val.csv and test.csv beside a folder images/ (or an
#     archive images.zip) of all the pictures: put them into data/miniimagenet/ (or point
#     --data-dir at them).
#   - ILSVRC2012_img_train.tar (138 GB, from image-net.org with a login) and those CSVs in
#     one folder: reptile data import FOLDER --out data/miniimagenet
#   - {train,val,test}/<WordNet id>/*.jpg as folders, train.zip val.zip test.zip, or tars:
#     put them into data/miniimagenet/, or use MINIIMAGENET_URL below.
#
# Environment:
#   FETCH_DATA_DIR     where to put the data (default: data, in the current folder)
#   OMNIGLOT_URL       take images_background.zip and images_evaluation.zip from below this
#                      address: http://, https:// or file:///
#   OMNIGLOT_MD5       "MD5 MD5": what these two must have. Default: the official archives'
#                      (68d2efa1b9178cc56df9314c21c6e718 6b91aef0f799c5bb55b94e3f2daec811);
#                      with OMNIGLOT_URL, anything: other archives are announced as such and
#                      the verification judges their content.
#   MINIIMAGENET_URL   take the three pickles from below this address or, if the first of
#                      them is not there, train.zip, val.zip and test.zip
#   MINIIMAGENET_MD5   "MD5 MD5 MD5": what these three must have (train, val, test). Default:
#                      what the server itself announces, if it does (Zenodo does).
#   FETCH_RETRIES      tries per file before giving up (default 8)
#   FETCH_RETRY_DELAY  seconds before the second try, doubling up to a minute (default 2)

set -euo pipefail
unset CDPATH

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DATA_DIR=${FETCH_DATA_DIR:-data}
RETRIES=${FETCH_RETRIES:-8}
RETRY_DELAY=${FETCH_RETRY_DELAY:-2}

OMNIGLOT_OFFICIAL_URL=https://raw.githubusercontent.com/brendenlake/omniglot/master/python
OMNIGLOT_OFFICIAL_MD5="68d2efa1b9178cc56df9314c21c6e718 6b91aef0f799c5bb55b94e3f2daec811"
MINIIMAGENET_OFFICIAL_URL=https://zenodo.org/records/7978538/files
PICKLES="mini-imagenet-cache-train.pkl mini-imagenet-cache-validation.pkl"
PICKLES="$PICKLES mini-imagenet-cache-test.pkl"
ZIPS="train.zip val.zip test.zip"
ARCHIVES=".zip .tar .tar.gz .tgz .tar.bz2 .tar.xz" # endings

# Return values of functions, beside 0 and 1.
GONE=44    # the source has no such file (404 and its like)
AGAIN=75   # worth another try
DAMAGED=3  # zip_tool: the archive is damaged
REFUSED=4  # zip_tool: the archive is dangerous or another one; the message has been printed

REASON="" # why the last transfer or check did not succeed
WORK=""   # the folder of unfinished things, inside the data set's folder: the same disk

# ---------------------------------------------------------------- the two data sets

fetch_omniglot() {
  local folder=$DATA_DIR/omniglot
  if omniglot_is_here "$folder"; then
    say "Omniglot is in $folder already: nothing to fetch."
    sweep "$folder"
  else
    claim "$folder"
    fetch_omniglot_archives "$folder"
    release
  fi
  verify "$folder"
}

omniglot_is_here() { # folder
  if [ -e "$1/store.json" ]; then return 0; fi # decoded already
  holds_something "$1/images_background" && holds_something "$1/images_evaluation"
}

# Both folders appear together at the end: one alone would pass for a smaller Omniglot.
fetch_omniglot_archives() { # folder
  local base name missing="" md5s=${OMNIGLOT_MD5:-}
  base=$(base_url "${OMNIGLOT_URL:-$OMNIGLOT_OFFICIAL_URL}")
  [ -n "${OMNIGLOT_URL:-}" ] || md5s=${md5s:-$OMNIGLOT_OFFICIAL_MD5}
  for name in images_background images_evaluation; do
    if holds_something "$1/$name"; then
      say "$1/$name is there already."
    else
      fetch_omniglot_archive "$base/$name.zip" "$WORK/$name.zip.part" "${md5s%% *}"
      missing="$missing $name"
    fi
    md5s=${md5s#* }
  done
  rm -rf "$WORK/unpacked"
  for name in $missing; do
    unpack "$WORK/$name.zip.part" "$name"
  done
  for name in $missing; do
    put_in_place "$WORK/unpacked/$name" "$1/$name"
  done
}

fetch_omniglot_archive() { # URL, part, md5 or nothing
  local name=${1##*/}
  fetch_file "$1" "$2" zip "$3" || die "$name: $REASON ($1)"
  [ -n "$3" ] || warn_if_not_official "$2" "$name"
}

warn_if_not_official() { # file, its name
  case " $OMNIGLOT_OFFICIAL_MD5 " in
    *" $(md5_of "$1") "*) ;;
    *) warn "note: this $2 is not the official archive (its md5 differs);" \
      "the verification will tell whether its content is complete" ;;
  esac
}

fetch_miniimagenet() {
  local folder=$DATA_DIR/miniimagenet base status=0
  base=$(base_url "${MINIIMAGENET_URL:-$MINIIMAGENET_OFFICIAL_URL}")
  if miniimagenet_is_here "$folder"; then
    say "Mini-ImageNet is in $folder already: nothing to fetch."
    sweep "$folder"
  else
    claim "$folder"
    # shellcheck disable=SC2086 # a list of names without spaces
    fetch_set "$base" "$folder" pickle $PICKLES || status=$?
    if [ "$status" -ne 0 ] && [ -n "${MINIIMAGENET_URL:-}" ]; then
      say "No pickles there ($REASON): trying $ZIPS"
      status=0
      # shellcheck disable=SC2086
      fetch_set "$base" "$folder" zip $ZIPS || status=$?
    fi
    [ "$status" -eq 0 ] ||
      die "Mini-ImageNet: $REASON ($base). Other ways to get it: ./fetch_data.sh --help"
    release
  fi
  verify "$folder"
}

# What people put there themselves counts as well, in every form that 'reptile' reads (but for a
# single archive of everything: it might be the first of three).
miniimagenet_is_here() { # folder
  local inside
  inside=("$1"/*/) # if there is one only, it may hold the three
  # shellcheck disable=SC2086
  [ -e "$1/store.json" ] ||
    [ -e "$1/ILSVRC2012_img_train.tar" ] ||
    all_exist "$1" $PICKLES ||
    all_exist "$1" ${PICKLES/validation/val} ||
    splits_exist "$1" "" ||
    { [ "${#inside[@]}" -eq 1 ] && splits_exist "${inside[0]%/}" ""; } ||
    splits_exist "$1" $ARCHIVES ||
    { all_exist "$1" train.csv val.csv test.csv && one_exists "$1/images" "" $ARCHIVES; }
}

splits_exist() { # folder, endings of which each of the three may have one
  local folder=$1 validation
  shift
  one_exists "$folder/train" "$@" || return 1
  one_exists "$folder/test" "$@" || return 1
  for validation in val valid validation; do
    if one_exists "$folder/$validation" "$@"; then return 0; fi
  done
  return 1
}

# Fetches the named files; returns GONE if the source lacks the first: another layout, perhaps.
fetch_set() { # base URL, folder, kind, file names
  local base=$1 folder=$2 kind=$3 md5s=${MINIIMAGENET_MD5:-} name status
  shift 3
  for name in "$@"; do
    if [ -e "$folder/$name" ]; then
      say "$folder/$name is there already."
    else
      status=0
      fetch_file "$base/$name" "$WORK/$name.part" "$kind" "${md5s%% *}" || status=$?
      if [ "$status" -ne 0 ]; then
        [ "$name" != "$1" ] || return "$status"
        die "$name: $REASON ($base/$name)"
      fi
      mv -f "$WORK/$name.part" "$folder/$name" || die_of_writing
      forget "$WORK/$name.part"
    fi
    md5s=${md5s#* }
  done
}

# ---------------------------------------------------------------- fetching one file

# Fetches a URL to "$part", continuing what is there, and checks it. Returns 0, or GONE.
# A continued file that turns out wrong is fetched once more from the start: pieces of
# different versions, or of a server's error, may have been joined.
fetch_file() { # URL, part, kind (zip or pickle), md5 or nothing
  local url=$1 part=$2 kind=$3 md5=$4 name=${1##*/} try=1 continued="" status
  adopt "$part" "$url" "$kind"
  if [ -s "$part" ]; then
    say "Continuing after $(size_of "$part") bytes: $url"
  else
    say "Fetching $url"
  fi
  while true; do
    if [ -s "$part" ]; then continued=yes; fi
    status=0
    transfer "$url" "$part" "$name" || status=$?
    if [ "$status" -eq "$GONE" ]; then return "$GONE"; fi
    if [ "$status" -eq 0 ]; then
      if check "$part" "$name" "$kind" "$md5"; then return 0; fi
      forget "$part"
      [ -n "$continued" ] || die "$name: $REASON. Nothing of it was kept ($url)"
      continued=""
      REASON="$REASON, so it starts again from nothing"
    fi
    [ "$try" -lt "$RETRIES" ] ||
      die "$name: gave up after $try tries: $REASON. Run the same command again to continue ($url)"
    wait_before_retry "$name" "$try"
    try=$((try + 1))
  done
}

wait_before_retry() { # name, number of the try that failed
  local seconds
  seconds=$(awk -v base="$RETRY_DELAY" -v try="$2" \
    'BEGIN { s = base; while (--try > 0 && s < 60) s *= 2; print (s > 60 ? 60 : s) }')
  warn "$1: $REASON; trying again in $seconds s ($(($2 + 1)) of $RETRIES)"
  sleep "$seconds"
}

# Keeps an unfinished file of an earlier run only if it came from this URL and begins rightly.
adopt() { # part, URL, kind
  local source=""
  if [ -e "$1.url" ]; then source=$(cat "$1.url"); fi
  if [ "$source" != "$2" ] || ! begins_like "$3" "$1"; then forget "$1"; fi
  remember_reply "$1"
  { printf '%s\n' "$2" >"$1.url"; } 2>/dev/null || die_of_writing
}

forget() { # part
  rm -f "$1" "$1.url" "$1.reply" "$1.headers"
}

# One connection. Returns 0 when the whole file is there, AGAIN or GONE with a REASON;
# ends the program when no repetition can help.
transfer() { # URL, part, name
  local url=$1 part=$2 name=$3 code=0 http validator
  local options
  options=(--location --fail --globoff --proto '=http,https,file' --proto-redir '=http,https'
    --connect-timeout 30 --speed-limit 1000 --speed-time 60
    --dump-header "$part.reply" --output "$part" --write-out '%{http_code}')
  if [ -t 2 ]; then options+=(--progress-bar); else options+=(--silent); fi
  case $url in file:*) rm -f "$part" ;; esac # copied in a moment: no need to continue
  if [ -s "$part" ]; then
    options+=(--continue-at -)
    # A server whose file has changed since then sends it whole instead of its rest.
    validator=$(validator "$part.headers")
    if [ -n "$validator" ]; then options+=(--header "If-Range: $validator"); fi
  fi
  http=$(curl "${options[@]}" "$url") || code=$?
  remember_reply "$part"
  case $http in
    416) finish_complete "$part" ;;
    *) judge "$code" "$http" "$url" "$part" "$name" ;;
  esac
}

# The server says that nothing follows: is what we have the whole file, or another file?
finish_complete() { # part
  local total
  total=$(header "$1.reply" content-range)
  if [ "${total##*/}" = "$(size_of "$1")" ]; then return 0; fi
  forget "$1"
  REASON="the unfinished file does not fit the server's, so it starts again from nothing"
  return "$AGAIN"
}

judge() { # curl's exit status, HTTP status, URL, part, name
  case $1/$2 in
    0/*) return 0 ;;
    22/5?? | 22/408 | 22/429) REASON="the server answered with HTTP status $2" && return "$AGAIN" ;;
    22/404 | 22/410) REASON="the server has no such file (HTTP status $2)" && return "$GONE" ;;
    22/401 | 22/403) REASON="the server refuses this file (HTTP status $2)" && return "$GONE" ;;
    22/*) die "$5: the server answered with HTTP status $2 ($3)" ;;
    23/*) die_of_writing ;;
    33/*) start_over "$3" "$4" "$5" ;;
    37/*) REASON="there is no such file, or it cannot be read" && return "$GONE" ;;
    5/* | 6/*) REASON="the server's name was not found" && return "$AGAIN" ;;
    7/*) REASON="no connection to the server" && return "$AGAIN" ;;
    28/*) REASON="nothing came for a while" && return "$AGAIN" ;;
    16/* | 18/* | 52/* | 55/* | 56/* | 92/*) REASON="the connection was cut" && return "$AGAIN" ;;
    35/*) REASON="no secure connection to the server" && return "$AGAIN" ;;
    60/* | 77/*) die "$5: the server's certificate is not trusted ($3)" ;;
    *) die "$5: curl failed with status $1 ($3)" ;;
  esac
}

# The server would send the whole file instead of its rest: it cannot continue, or has another.
start_over() { # URL, part, name
  case $(header "$2.reply" content-type) in
    text/html*) die "$3: the server sent a web page instead of the rest of the file;" \
      "what was fetched before is kept ($1)" ;;
  esac
  say "$3: the server cannot continue the unfinished file; fetching it from the start"
  rm -f "$2" "$2.headers"
  transfer "$1" "$2" "$3"
}

# ---------------------------------------------------------------- what the server said

# The last reply that brought content describes the file, also for a later run.
remember_reply() { # part
  local status
  if [ ! -s "$1.reply" ]; then return 0; fi
  status=$(awk '/^HTTP\// { status = $2 } END { print status }' "$1.reply")
  case $status in
    200 | 206) cp "$1.reply" "$1.headers" 2>/dev/null || true ;; # a help, not a need
  esac
}

header() { # file, name in lower case -> its value in the last reply (redirections come before)
  [ -e "$1" ] || return 0
  awk -v name="$2:" '
    { sub(/\r$/, "") }
    /^HTTP\// { value = "" }
    index(tolower($0), name) == 1 { value = substr($0, length(name) + 1) }
    END { sub(/^[ \t]+/, "", value); print value }' "$1"
}

validator() { # headers -> what identifies the file's version, if it can be relied on
  local etag
  etag=$(header "$1" etag)
  case $etag in
    \"*) printf '%s\n' "$etag" ;;
    *) header "$1" last-modified ;; # weak tags (W/"...") do not promise equal bytes
  esac
}

announced_size() { # headers
  local range
  range=$(header "$1" content-range)
  case $range in
    */[0-9]*) printf '%s\n' "${range##*/}" ;;
    */*) ;; # the server does not know the whole
    *) header "$1" content-length ;;
  esac
}

announced_md5() { # headers: ETag: "md5:<32 digits>", as Zenodo sends it
  header "$1" etag | sed -n 's/^"md5:\([0-9a-f]\{32\}\)"$/\1/p'
}

# ---------------------------------------------------------------- checking one file

# Returns 1 with a REASON if the file is damaged; ends the program if it is something else.
check() { # part, name, kind, md5 or nothing
  local size md5=$4 found
  if ! begins_like "$3" "$1"; then refuse_content "$@"; fi
  size=$(announced_size "$1.headers")
  if [ -n "$size" ] && [ "$size" != "$(size_of "$1")" ]; then
    REASON="it has $(size_of "$1") bytes where the server announced $size"
    return 1
  fi
  md5=${md5:-$(announced_md5 "$1.headers")}
  if [ -n "$md5" ]; then
    found=$(md5_of "$1")
    if [ "$found" = "$md5" ]; then return 0; fi
    REASON="wrong checksum: its md5 is $found, expected $md5"
    return 1
  fi
  case $3 in
    zip) check_zip "$1" "$2" ;;
    pickle) ends_like_a_pickle "$1" ;;
  esac
}

check_zip() { # part, name
  local status=0
  zip_tool check "$1" "$2" || status=$?
  case $status in
    0) ;;
    "$DAMAGED") REASON="the archive is damaged" && return 1 ;;
    "$REFUSED") forget "$1" && exit 1 ;;
    *) exit 1 ;;
  esac
}

begins_like() { # kind, file
  local start
  start=$(od -An -tx1 -N2 "$2" 2>/dev/null | tr -d ' \n')
  case $1/$start in
    zip/504b) ;;                                        # PK
    pickle/80* | pickle/28* | pickle/5d* | pickle/7d*) ;; # a protocol mark, or ( ] } of protocol 0
    *) return 1 ;;
  esac
}

ends_like_a_pickle() { # file
  if [ "$(tail -c 1 "$1" | od -An -tx1 | tr -d ' \n')" = 2e ]; then return 0; fi # the STOP mark
  REASON="the pickle is cut short"
  return 1
}

refuse_content() { # part, name, kind
  local line what
  line=$(head -c 2000 "$1" | LC_ALL=C tr -cd '[:print:]\n' |
    awk 'NF { print substr($0, 1, 120); exit }') || true
  case $line in
    *'<'*) what="the server sent a web page instead of the file. Its first line: $line" ;;
    '') what="the server sent an empty or unknown file instead of a $3 file" ;;
    *) what="the server sent something that is not a $3 file. It begins: $line" ;;
  esac
  forget "$1"
  die "$2: $what"
}

md5_of() { # file
  if command -v md5sum >/dev/null; then md5sum <"$1" | cut -d ' ' -f 1; else md5 -q "$1"; fi
}

size_of() { # file
  if [ -e "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi
}

# ---------------------------------------------------------------- archives

unpack() { # archive, the folder in it to unpack into "$WORK/unpacked"
  local status=0
  say "Unpacking $2.zip"
  zip_tool unpack "$1" "$2" "$WORK/unpacked" || status=$?
  case $status in
    0) ;;
    "$REFUSED") forget "$1" && exit 1 ;;
    "$DAMAGED") forget "$1" && die "$2.zip: the archive is damaged. Nothing of it was kept" ;;
    *) exit 1 ;;
  esac
}

# Python's zipfile checks every member's CRC; members that would land outside are refused.
# Exit status: 0, DAMAGED, REFUSED, or 1 when something else failed and was said.
zip_tool() { # check ARCHIVE NAME | unpack ARCHIVE FOLDER DESTINATION
  "$PYTHON" - "$@" <<'PYTHON_PROGRAM'
import shutil
import signal
import stat
import sys
import zipfile
import zlib

DAMAGED, REFUSED = 3, 4


def stop(text, status=1):
    sys.stderr.write(f"fetch_data.sh: error: {text}\n")
    sys.exit(status)


def safe_members(archive, name):
    for member in archive.infolist():
        parts = member.filename.replace("\\", "/").split("/")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if parts[0] == "" or ".." in parts or ":" in parts[0]:
            stop(f"{name}: refused: its member {member.filename!r} leaves the folder", REFUSED)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            stop(f"{name}: refused: its member {member.filename!r} is a link or device", REFUSED)
        yield member


def check(path, name):
    with zipfile.ZipFile(path) as archive:
        list(safe_members(archive, name))
        if archive.testzip() is not None:
            sys.exit(DAMAGED)


def unpack(path, folder, destination):
    name = folder + ".zip"
    with zipfile.ZipFile(path) as archive:
        members = [m for m in safe_members(archive, name) if m.filename.startswith(folder + "/")]
        if not members:
            stop(f"{name}: it has no folder {folder}/", REFUSED)
        for number, member in enumerate(members, 1):
            archive.extract(member, destination)
            if sys.stderr.isatty() and (number % 100 == 0 or number == len(members)):
                end = "\n" if number == len(members) else ""
                sys.stderr.write(f"\r{number} of {len(members)} files{end}")


signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends this and the shell, without a traceback
try:
    {"check": check, "unpack": unpack}[sys.argv[1]](*sys.argv[2:])
except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError):
    sys.exit(DAMAGED)
except OSError as error:
    if sys.argv[1] == "unpack":
        shutil.rmtree(sys.argv[-1], ignore_errors=True)  # a full disk needs the room
    stop(f"{sys.argv[-1]}: {error.strerror or error}")
PYTHON_PROGRAM
}

# ---------------------------------------------------------------- folders

# Makes the folder of unfinished things and keeps a second fetch_data.sh out of it. The lock
# is the kernel's: it ends with the last process that holds it, also after kill -9.
claim() { # the data set's folder
  local reason
  WORK=$1/.fetch
  reason=$(mkdir -p "$WORK" 2>&1) || die "cannot make the folder $1: ${reason##*: }"
  touch "$WORK/lock" 2>/dev/null || die_of_writing
  exec 9>"$WORK/lock"
  "$PYTHON" -c '
import sys
try:
    import fcntl
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(1)
except (OSError, ImportError):
    pass  # no locks on this file system, or on this machine' ||
    die "another fetch_data.sh is at work in $1"
}

release() {
  rm -rf "$WORK"
  exec 9>&-
}

# A run that was killed after its last file had moved into place left this behind.
sweep() { # the data set's folder
  if [ -d "$1/.fetch" ]; then
    claim "$1"
    release
  fi
}

die_of_writing() {
  local reason
  reason=$({ LC_ALL=C head -c 1000000 /dev/zero >"$WORK/probe"; } 2>&1) || true
  rm -f "$WORK/probe"
  reason=${reason##*: }
  die "cannot write to ${WORK%/.fetch}: ${reason:-the disk is full or failing}." \
    "Run the same command again to continue"
}

put_in_place() { # finished folder, its final name
  rmdir "$2" 2>/dev/null || true # an empty one
  if [ -e "$2" ] || [ -L "$2" ]; then die "$2 is in the way: remove it and run this again"; fi
  mv "$1" "$2" || die_of_writing
}

holds_something() { # folder
  [ -d "$1" ] && [ -n "$(ls -A "$1")" ]
}

all_exist() { # folder, names in it
  local folder=$1 name
  shift
  for name in "$@"; do
    [ -e "$folder/$name" ] || return 1
  done
}

one_exists() { # path, endings of it
  local path=$1 ending
  shift
  for ending in "$@"; do
    if [ -e "$path$ending" ]; then return 0; fi
  done
  return 1
}

# ---------------------------------------------------------------- verification

verify() { # folder
  local report verdict status=0 command
  command="reptile data verify $(printf %q "$1")"
  if ! find_reptile; then
    say "Not verified: the program 'reptile' is not installed. Install it with 'make install'" \
      "or 'pip install .' and run: $command"
    return 0
  fi
  say "Verifying $1"
  report=$("${REPTILE[@]}" data verify "$1") || status=$?
  verdict=$(printf '%s\n' "$report" | grep '[^ ]' | tail -n 1) || verdict="no verdict"
  say "$verdict"
  if [ "$status" -eq 0 ]; then return 0; fi
  case $verdict in
    broken:*)
      die "the verification of $1 failed; for the details run: $command" \
        "(what you delete there is fetched anew)" ;;
    *) die "$1 could not be verified; when the cause above is mended, run: $command" ;;
  esac
}

find_reptile() { # sets REPTILE, the command and its first arguments
  if [ -x "$HERE/.venv/bin/reptile" ]; then
    REPTILE=("$HERE/.venv/bin/reptile")
  elif command -v reptile >/dev/null; then
    REPTILE=(reptile)
  elif "$PYTHON" -c 'import supervised_reptile.cli' 2>/dev/null; then
    REPTILE=("$PYTHON" -c 'from supervised_reptile.cli import main; main()')
  else
    return 1
  fi
}

# ---------------------------------------------------------------- the command line

say() { printf '%s\n' "$*"; }
warn() { printf 'fetch_data.sh: %s\n' "$*" >&2; }
die() {
  warn "error: $*"
  exit 1
}
usage_error() {
  warn "error: $*"
  warn "try ./fetch_data.sh --help"
  exit 2
}

usage() { # the comment at the top of this file
  awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "${BASH_SOURCE[0]}"
}

base_url() { # URL -> without a final slash, with spaces that curl accepts
  local url=${1%/}
  printf '%s\n' "${url// /%20}"
}

check_settings() {
  check_url OMNIGLOT_URL "${OMNIGLOT_URL:-}"
  check_url MINIIMAGENET_URL "${MINIIMAGENET_URL:-}"
  check_md5s OMNIGLOT_MD5 2 "${OMNIGLOT_MD5:-}"
  check_md5s MINIIMAGENET_MD5 3 "${MINIIMAGENET_MD5:-}"
  [[ $RETRIES =~ ^[1-9][0-9]*$ ]] ||
    usage_error "FETCH_RETRIES='$RETRIES' is not a positive whole number"
  [[ $RETRY_DELAY =~ ^[0-9]*[.]?[0-9]+$ ]] ||
    usage_error "FETCH_RETRY_DELAY='$RETRY_DELAY' is not a number of seconds"
  DATA_DIR=${DATA_DIR%/}
  case $DATA_DIR in # quoted, or from a file: no shell has expanded it
    "~" | "~/"*) DATA_DIR=$HOME${DATA_DIR#"~"} ;;
    "~"*) usage_error "FETCH_DATA_DIR='$DATA_DIR': write the home directory out, or ./~..." ;;
  esac
  case $DATA_DIR in -*) DATA_DIR=./$DATA_DIR ;; esac # not an option of mkdir or rm
}

check_url() { # variable, value
  case $2 in
    '' | http://?* | https://?* | file://?*) ;;
    *) usage_error "$1='$2' must begin with http://, https:// or file:///" ;;
  esac
}

check_md5s() { # variable, how many, value
  local pattern="^([0-9a-f]{32} ){$2}$" # as a variable: bash 3.2 reads quoted patterns otherwise
  [[ -z $3 || "$3 " =~ $pattern ]] ||
    usage_error "$1='$3' must be $2 checksums of 32 digits (0-9, a-f), separated by one space"
}

find_tools() { # sets PYTHON
  command -v curl >/dev/null || die "curl is needed; install it first"
  command -v md5sum >/dev/null || command -v md5 >/dev/null ||
    die "md5sum or md5 is needed; install it first"
  if [ -x "$HERE/.venv/bin/python" ]; then
    PYTHON=$HERE/.venv/bin/python
  else
    PYTHON=$(command -v python3) || die "python3 is needed; install it first"
  fi
}

main() {
  local wanted="" argument name status=0
  for argument in "$@"; do
    case $argument in
      -h | --help) usage && exit 0 ;;
      omniglot | miniimagenet) wanted="$wanted $argument" ;;
      *) usage_error "unknown argument '$argument'" ;;
    esac
  done
  check_settings
  find_tools
  trap 'warn "interrupted; run the same command again to continue"; exit 130' INT
  for name in ${wanted:-omniglot miniimagenet}; do
    # In a shell of its own: when one data set fails, the other is fetched all the same.
    # (Not as "( ... ) || status=1": inside such a list 'set -e' has no effect.)
    set +e
    (
      set -e
      case $name in
        omniglot) fetch_omniglot ;;
        miniimagenet) fetch_miniimagenet ;;
      esac
    )
    status=$((status | $?))
    set -e
  done
  [ "$status" -eq 0 ] || exit 1
}

main "$@"
