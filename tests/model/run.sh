#!/bin/sh
# run.sh SPIN CC MODEL EXPECTED [-D...]: searches all states of the model with these macros.
#
# EXPECTED is what must come out:
#   holds           no assertion fails, no process is stuck
#   ends            no process goes round in circles
#   finds           one of the two does not hold: the macros make a mistake (MUT_...)
#   finds_a_circle  a process goes round in circles
#
# A search that is cut short (memory, depth) has not shown anything and fails.
set -eu
spin=$1 cc=$2 model=$3 expected=$4
shift 4

case $expected in
  holds | finds) search=-DSAFETY option= ;;
  ends | finds_a_circle) search=-DNP option=-l ;;
  *) echo "run.sh: $expected?" >&2; exit 2 ;;
esac

# A mistake is found long before compiling well would pay.
case $expected in holds | ends) optimize=-O2 ;; *) optimize=-O0 ;; esac

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp "$model" "$dir/model.pml"
cd "$dir"
"$spin" "$@" -a model.pml
"$cc" $optimize -w $search -DCOLLAPSE -DNOFAIR -DMEMLIM=2000 -o pan pan.c
./pan -n -m20000 $option >log 2>&1 || true
cat log

found=$(sed -n 's/^pan:[0-9]*: \(assertion violated\|invalid end state\|non-progress cycle\).*/\1/p' log)
case $expected in
  holds | ends)
    if [ -n "$found" ]; then
      # How it came about, as far as the trail goes.
      "$spin" "$@" -t -k model.pml.trail -p -g -l model.pml | tail -n 400
      exit 1
    fi
    grep -q 'errors: 0$' log && ! grep -q -e 'not completed' -e 'too small' -e 'out of memory' -e MEMLIM log ;;
  finds) [ -n "$found" ] ;;
  finds_a_circle) [ "$found" = 'non-progress cycle' ] ;;
esac
