"""Sums and the report made of them."""

from pouw.miner.meter import Meter, Report


def test_a_report_covers_the_time_since_the_last() -> None:
    meter = Meter()
    meter.add(idle=10**9, blocks=1)
    report = Report(meter, 50.0)
    meter.add(useful=4 * 10**6, idle=10**7, blocks=2, job_blocks=1, jobs=1, earned=1_500_000_000)
    assert report.fields(52.0) == {
        "useful": "2 MMAC/s",
        "idle": "5 MMAC/s",
        "blocks": 3,
        "job_blocks": 1,
        "jobs": 1,
        "earned": "1.5 POUW",
    }
    assert report.fields(53.0)["useful"] == "0 MAC/s"
