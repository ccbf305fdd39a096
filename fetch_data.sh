#!/usr/bin/env bash
# fetch_data.sh - fetch Omniglot and Mini-ImageNet, ready for training
#
# Usage:  ./fetch_data.sh                   both data sets
#         ./fetch_data.sh omniglot          data/omniglot/      (16 MB to fetch)
#         ./fetch_data.sh miniimagenet      data/miniimagenet/  (1.8 GB to fetch)
#         ./fetch_data.sh --help            this text
#
# Run it again after an interruption: it continues, and leaves alone what is there already.
# At the end 'reptile data verify' looks through everything, if it is installed.
# Exit status: 0 done, 1 failure (or the verdict is 'broken'), 2 wrong usage.
#
# Omniglot comes from github.com/brendenlake/omniglot, Mini-ImageNet as three pickles from
# zenodo.org/records/7978538. Ravi & Larochelle's CSVs beside a folder images/, or folders
# train/, val/ and test/, or zips of them do as well: put them into data/miniimagenet/. From
# ILSVRC2012_img_train.tar and these CSVs 'reptile data import FOLDER --out data/miniimagenet'
# makes it.
#
# Environment (addresses begin with http://, https:// or file://):
#   FETCH_DATA_DIR     where to put the data (default: data, in the current folder)
#   OMNIGLOT_URL       take images_background.zip and images_evaluation.zip from there
#   OMNIGLOT_MD5       "MD5 MD5": theirs (default: the official ones, without OMNIGLOT_URL)
#   MINIIMAGENET_URL   take the three pickles, or train.zip val.zip test.zip, from there
#   MINIIMAGENET_MD5   "MD5 MD5 MD5": theirs (default: what the server announces, if it does)
set -euo pipefail
PATH=$(cd "$(dirname "${BASH_SOURCE[0]}")" >/dev/null && pwd)/.venv/bin:$PATH
EXPECTED='images_(background|evaluation)|mini-imagenet-cache-(train|validation|test)\.pkl'
REASON="" # why the last file was not fetched

say() { printf '%s\n' "$*"; }
warn() { say "fetch_data.sh: $*" >&2; }
die() { warn "error: $*"; exit 1; }
usage_error() { warn "error: $*. Try ./fetch_data.sh --help"; exit 2; }

omniglot() { # folder
  local url=${OMNIGLOT_URL:-} md5s=${OMNIGLOT_MD5:-} new=$1/.fetch name error
  if [ -z "$url" ]; then
    url=https://raw.githubusercontent.com/brendenlake/omniglot/master/python
    md5s=${md5s:-68d2efa1b9178cc56df9314c21c6e718 6b91aef0f799c5bb55b94e3f2daec811}
  fi
  fetch_all "$1" "$url" "$md5s" images_background.zip images_evaluation.zip || die "$REASON"
  for name in images_background images_evaluation; do
    [ ! -e "$1/$name" ] || continue
    say "Unpacking $name.zip" # Python's zipfile never writes outside the folder
    error=$( (python3 -m zipfile -e "$new/$name.zip" "$new" && ls "$new/$name") 2>&1) ||
      { rm -rf "$new/$name" "$new/$name.zip" && die "$name.zip: not unpacked (${error##*$'\n'})"; }
  done
  for name in "$new"/images_*/; do [ ! -e "$name" ] || mv "$name" "$1"; done # both at the end
}

miniimagenet() { # folder
  local url=${MINIIMAGENET_URL:-https://zenodo.org/records/7978538/files} md5s=${MINIIMAGENET_MD5:-}
  fetch_all "$1" "$url" "$md5s" mini-imagenet-cache-{train,validation,test}.pkl ||
    { [[ $REASON = *"no such file"* ]] && warn "$REASON; is there a train.zip?" &&
      fetch_all "$1" "$url" "$md5s" train.zip val.zip test.zip; } ||
    die "$REASON. Other ways to get Mini-ImageNet: ./fetch_data.sh --help"
  for path in "$1"/.fetch/*.{pkl,zip}; do [ ! -e "$path" ] || mv "$path" "$1"; done
}

# Fetches what is missing to FOLDER/.fetch/NAME; unfinished files there end in .part.
fetch_all() { # folder, base URL, MD5s or nothing, names
  local hidden=$1/.fetch url=$2 md5s=$3 name reason
  for name in "${@:4}"; do
    if [ ! -e "$1/$name" ] && [ ! -e "$1/${name%.zip}" ] && [ ! -e "$hidden/$name" ]; then
      reason=$(mkdir -p "$hidden" 2>&1) || die "cannot make the folder $1: ${reason##*: }"
      [ "$(cat "$hidden/url" 2>/dev/null)" = "$url" ] || rm -rf "$hidden"/* # of another source
      say "$url" >"$hidden/url"
      fetch "${url%/}/$name" "$hidden/$name.part" "${md5s%% *}" || return 1
      mv "$hidden/$name.part" "$hidden/$name"
    fi
    md5s=${md5s#* }
  done
}

# Fetches one file, continuing what is there of it, and checks it. Returns 1 with a REASON.
fetch() { # URL, part, MD5 or nothing
  local url=${1// /%20} part=$2 bar=--silent delay had code http
  if [ -t 2 ]; then bar=--progress-bar; fi
  say "Fetching $url"
  for delay in 0 1 2 4 8 16 32 60; do # curl's own --retry drops what it has
    [ "$delay" = 0 ] || { warn "$REASON; trying again in $delay s" && sleep "$delay"; }
    code=0 had=$(wc -c 2>/dev/null <"$part") || had=0
    http=$(curl "$bar" --location --fail --globoff --connect-timeout 30 --speed-limit 1000 \
      --speed-time 60 --continue-at - --dump-header "$part.headers" --output "$part" \
      --write-out '%{http_code}' "$url") || code=$?
    REASON="$url: curl's exit status $code, HTTP status $http"
    case $code/$http in
      0/* | 22/416) # 416: nothing follows
        if check "$part" "$url" "$3"; then return 0; fi
        rm -f "$part"
        [ "$had" -gt 0 ] || return 1 ;; # else pieces of two versions were joined, perhaps
      33/* | 36/*)
        REASON="$url: the server cannot continue the unfinished file"
        ! grep -qi '^content-type: text/html' "$part.headers" || return 1 # a login page
        rm -f "$part" ;;
      22/403 | 22/404 | 37/*) REASON="$url: no such file (HTTP status $http)" && return 1 ;;
      22/4[013]? | 60/*) return 1 ;; # the others, 429 and 5??, may go away
      23/*) REASON="cannot write to $part (is the disk full?)" && return 1 ;;
    esac
  done
  REASON="$REASON. Gave up after 8 tries; run the same command again to continue" && return 1
}

check() { # part, URL, MD5 or nothing. Returns 1 with a REASON
  local md5=$3 found
  case ${2##*.}/$(head -c 1 "$1" | od -An -tx1 | tr -d ' ') in
    zip/50 | pkl/80 | pkl/28 | pkl/5d | pkl/7d) ;; # P, or what pickles begin with
    *) found=$(head -c 500 "$1" | LC_ALL=C tr -cd '[:print:]' | cut -c 1-120)
      REASON="$2: the server sent a web page or something else: ${found:-nothing}" && return 1 ;;
  esac
  found=$(sed -n 's/^[Ee][Tt][Aa][Gg]: "md5:\([0-9a-f]*\)".*/\1/p' "$1.headers" | tail -n 1)
  md5=${md5:-$found} # Zenodo announces it
  if command -v md5sum >/dev/null; then found=$(md5sum <"$1"); else found=$(md5 -q "$1"); fi
  REASON="$2: wrong checksum, its md5 is ${found%% *}, expected $md5"
  [ "${found%% *}" = "${md5:-${found%% *}}" ]
}

fetch_and_verify() { # data set, folder
  local reptile=reptile other
  other=$(ls "$2" 2>/dev/null | grep -Evx "$EXPECTED" | head -n 1) || true
  [ -z "$other" ] || say "$2 holds $other: it is left as it is."
  [ -n "$other" ] || { "$1" "$2"; rm -rf "$2/.fetch"; }
  command -v reptile >/dev/null || reptile="python3 -m supervised_reptile"
  $reptile --help >/dev/null 2>&1 ||
    { say "Not verified: 'reptile' is not installed. Later: reptile data verify $2" && return 0; }
  $reptile data verify "$2" || die "$2 is not complete; what you delete there is fetched again"
}

names="" status=0 md5="[0-9a-f]{32}"
for name in "$@"; do
  case $name in
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;;
    omniglot | miniimagenet) names="$names $name" ;;
    *) usage_error "unknown argument '$name'" ;;
  esac
done
for name in OMNIGLOT_URL MINIIMAGENET_URL; do
  [[ ${!name:-file://.} =~ ^(https?|file)://. ]] || usage_error "$name='${!name}': no such address"
done
[[ "${OMNIGLOT_MD5:-}/${MINIIMAGENET_MD5:-}" =~ ^($md5\ $md5)?/($md5\ $md5\ $md5)?$ ]] ||
  usage_error "OMNIGLOT_MD5 is 2, MINIIMAGENET_MD5 is 3 checksums of 32 digits (0-9, a-f)"
data=${FETCH_DATA_DIR:-data}
case $data in "~" | "~/"*) data=$HOME${data#"~"} ;; esac
trap 'warn "interrupted; run the same command again to continue" && exit 130' INT
set +e # when one data set fails, the other is fetched all the same
for name in ${names:-omniglot miniimagenet}; do
  (set -e; fetch_and_verify "$name" "${data%/}/$name") # not with "||": that would undo set -e
  status=$((status | $?))
done
exit $((status > 0))
