#!/usr/bin/env bash
# claim: a log volume is faster than ZeroFS on the same store and disk by what was aimed at, at delays of 0, 10 and 30 ms, costs no more, and comes near to what the disk and the bare client give
# tools: zerofs
# timeout: 5400
. "$RESTBLK_ROOT/bench/object-peers.sh" --hold
