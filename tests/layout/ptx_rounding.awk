# Fails where the PTX of a kernel lets a step be rounded otherwise than docs/numerics.md says.
#
# PTX, because there a division is one instruction. With -fmad nvcc fuses some products and sums to
# "fma", and leaves others for ptxas to fuse: it writes "mul.f32" where ptxas may, "mul.rn.f32"
# where it may not. Without, "fma" is only where the source asks for one, which kernels may for
# quantizers to nearest even, whose quotients are made so (scalar/shared_divisor.hpp), and for
# products that are exact in f64 (cuda/output_error.cuh).

function refuse(why) {
  if (++refused <= 5) print FILENAME ":" FNR ": " why ": " $0 "  in " kernel
}

/\.(entry|func) / { kernel = $NF; sub(/\(.*/, "", kernel) }
/[ \t](add|sub|mul|mad)[.a-z0-9]*\.b?f[0-9]/ && !/\.rn\./ { refuse("may be fused") }
/[ \t]fma\./ && !(/fma\.rn\.f32[ \t]/ && kernel ~ /RoundingE0E/) &&
    !(/fma\.rn\.f64[ \t]/ && kernel ~ /f64_product_kernelILb1E/) { refuse("fused") }
/\.(approx|full|ftz)\./ { refuse("not correctly rounded") }

END { exit refused > 0 }
