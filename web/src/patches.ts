/**
 * Which pixels a 3x3 kernel sees: a convolution is a matrix product once every output
 * position's nine inputs, its patch, lie in a row.
 *
 * Padding is SAME in TensorFlow's sense: with stride 2 and an even size only one line of
 * zeros is added, behind the image.
 */

export const TAPS = 9;
const STRIDE = 2;

/** Output positions along a side of `size` pixels. */
export function outputSize(size: number): number {
  return Math.ceil(size / STRIDE);
}

/** For each output position along one side the pixels under the kernel, -1 where it sticks out. */
function seenAlong(size: number): number[][] {
  const count = outputSize(size);
  const before = Math.floor(Math.max((count - 1) * STRIDE + 3 - size, 0) / 2);
  return Array.from({ length: count }, (_, position) =>
    [0, 1, 2].map((tap) => {
      const pixel = position * STRIDE + tap - before;
      return pixel >= 0 && pixel < size ? pixel : -1;
    }),
  );
}

/**
 * Row-major pixel numbers of every patch, [positions * 9]; height * width stands for the zeros
 * around the image.
 */
export function patchPixels(height: number, width: number): Int32Array {
  const pixels: number[] = [];
  for (const rows of seenAlong(height)) {
    for (const columns of seenAlong(width)) {
      for (const y of rows) {
        for (const x of columns) {
          pixels.push(y < 0 || x < 0 ? height * width : y * width + x);
        }
      }
    }
  }
  return Int32Array.from(pixels);
}

/** Patches of whole one-channel images [n * height * width], [n * positions, 9] row by row. */
export function imagePatches(
  images: Float32Array,
  height: number,
  width: number,
): { values: Float32Array; rows: number } {
  const pixels = patchPixels(height, width);
  const size = height * width;
  const values = new Float32Array((images.length / size) * pixels.length);
  for (let entry = 0; entry < values.length; entry++) {
    const image = Math.floor(entry / pixels.length);
    const pixel = pixels[entry % pixels.length]!;
    if (pixel < size) values[entry] = images[image * size + pixel]!;
  }
  return { values, rows: values.length / TAPS };
}
