"""Tells the results of subunit streams, of which a later one tries failures
of the earlier again: counts, failures, why others were skipped, the slowest.
results.py FILE...
"""

import collections
import re
import sys

import subunit
import testtools

results, reasons, times, again = {}, {}, {}, []


class Reader(testtools.StreamResult):
    def status(self, test_id=None, test_status=None, file_name=None,
               file_bytes=None, timestamp=None, **_more):
        if not test_id:
            return
        if test_status == 'inprogress':
            times[test_id] = timestamp
        if test_status in ('success', 'fail', 'skip'):
            if results.get(test_id) == 'fail' and test_status == 'success':
                again.append(test_id)
            results[test_id] = test_status
            if timestamp:
                times[test_id] = (timestamp - times[test_id]).total_seconds()
        if file_name == 'reason':
            reasons[test_id] = (reasons.get(test_id, '')
                                + bytes(file_bytes).decode())


reader = Reader()
reader.startTestRun()
for name in sys.argv[1:]:
    with open(name, 'rb') as stream:
        subunit.ByteStreamToStreamResult(stream).run(reader)
counts = collections.Counter(results.values())
print('%d passed, %d skipped, %d failed of %d' % (
    counts['success'], counts['skip'], counts['fail'], len(results)))
for test, result in results.items():
    if result == 'fail':
        print('failed  %s' % test)
for test in again:
    print('passed when tried again  %s' % test)
why = collections.Counter(
    re.sub(r'\d{5,}|^\S+ skipped as ', '', reasons.get(test, ''))[:90].strip()
    for test, result in results.items() if result == 'skip')
for reason, count in why.most_common():
    print('skipped %3d: %s' % (count, reason))
for test, seconds in sorted(
        ((t, s) for t, s in times.items() if isinstance(s, float)),
        key=lambda pair: -pair[1])[:5]:
    print('slowest %3d s %s' % (seconds, test.partition('[')[0]))
