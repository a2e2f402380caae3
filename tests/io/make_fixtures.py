"""Writes the fixtures of tests/io with the packages that define the formats. See README.md."""

import pathlib
import sys

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file


def values(shape, dtype):
    count = int(np.prod(shape, dtype=np.int64))
    return ((np.arange(count) - 5) * 0.375).astype(dtype).reshape(shape)


def write_safetensors(out):
    tensors = {
        "f64": values([3, 4], np.float64),
        "f32": values([2, 3, 5], np.float32),
        "f16": values([7], np.float16),
        "bf16": values([2, 9], ml_dtypes.bfloat16),
        "scalar": values([], np.float32),
        "empty": values([0, 3], np.float32),
        "rank9": values([1, 1, 1, 2, 1, 1, 1, 1, 3], np.float32),
        'na\u00efve \u2603 "quoted"': values([2], np.float32),
        "codes": np.array([-128, 0, 127], np.int8),
        "fp8": np.array([448, -448], ml_dtypes.float8_e4m3fn),
        "flags": np.array([True, False, True, True, False]),
        "steps": np.array([1, 2**62], np.int64),
    }
    save_file(tensors, out / "mixed.safetensors", {"format": "np", "made": "here"})
    save_file({}, out / "no_tensors.safetensors")
    save_file({"x": values([2], np.float32)}, out / "one.safetensors")


def write_npy(out):
    def save(name, array, version=(1, 0)):
        with open(out / f"{name}.npy", "wb") as file:
            np.lib.format.write_array(file, array, version=version)

    save("f2", values([7], np.float16))
    save("f4", values([2, 3, 5], np.float32))
    save("f8", values([3, 4], np.float64))
    save("v2", values([2, 3], np.float32), (2, 0))
    save("v3", values([2, 3], np.float32), (3, 0))
    save("scalar", values([], np.float32))
    save("empty", values([0, 3], np.float32))
    save("bf16", values([2, 9], ml_dtypes.bfloat16))
    save("fortran_f2", np.asfortranarray(values([2, 3, 4, 5], np.float16)))
    save("fortran_f4", np.asfortranarray(values([37, 41], np.float32)))
    save("fortran_f8", np.asfortranarray(values([3, 2, 4], np.float64)))
    save("big_endian", values([3], ">f4"))
    save("integers", np.arange(3, dtype=np.int32))
    save("strings", np.array(["a", "bc"]))
    save("structured", np.zeros(2, [("a", "<f4"), ("b", "<i4")]))
    np.save(out / "objects.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    np.savez(out / "archive.npz", x=values([2], np.float32))


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(out)
    write_npy(out)


if __name__ == "__main__":
    main()
