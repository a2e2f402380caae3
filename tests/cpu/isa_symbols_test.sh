#!/bin/sh
# isa_symbols_test.sh NM ISA OBJECT...: fails where an object of one instruction set defines a
# symbol that others could be linked to: anything global or weak outside cuqat::cpu::ISA.
set -eu
nm=$1
isa=$2
shift 2
[ $# -gt 0 ] || { echo "no object files given"; exit 1; }

status=0
for object in "$@"; do
  symbols=$("$nm" --demangle --defined-only --extern-only "$object")
  [ -n "$symbols" ] || { echo "$object: defines nothing"; status=1; continue; }
  # A reference to the personality routine is data, the same for every instruction set.
  foreign=$(printf '%s\n' "$symbols" | grep -v "cuqat::cpu::$isa::" |
            grep -v ' DW\.ref\.__gxx_personality_v0$' || true)
  if [ -n "$foreign" ]; then
    echo "$object defines outside cuqat::cpu::$isa:"
    echo "$foreign"
    status=1
  fi
done
exit $status
