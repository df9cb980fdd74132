"""Where the time of our own preparation goes: the stages of one record after another, as the tokenizer runs them."""

from __future__ import annotations

from time import process_time

from threadpoolctl import threadpool_limits

from clear_hug.data import PrepareSettings, Source
from clear_hug.data.arm_leg import arm_leg_score
from clear_hug.data.beats import beats_in_rows
from clear_hug.data.prepare import reader_for
from clear_hug.data.quality import check_leads
from clear_hug.data.resample import map_indices
from clear_hug.data.tokens import token_grid

STAGES = ("read", "check leads and resample", "find beats", "cut tokens")


def own_stages(source: Source, rows: range) -> dict[str, float]:
    """Seconds of processor time of each of `STAGES`, all records together; they must have the twelve leads in order."""
    settings, spent = PrepareSettings(), dict.fromkeys(STAGES, 0.0)
    read = reader_for(source, settings)
    with threadpool_limits(limits=1, user_api="blas"):
        for row in rows:
            times = [process_time()]
            record = read(source.root / source.paths[row])
            times.append(process_time())
            checked = check_leads(record.signal, settings.leads, record.fs, settings.quality)
            times.append(process_time())
            found = beats_in_rows(checked.signal.T, record.fs, settings.detector, checked.coarse.T, checked.curvature)
            times.append(process_time())
            peaks = map_indices(found, record.fs, settings.rate, len(checked.coarse))
            token_grid(checked.coarse, peaks, settings.rate, settings.slots, settings.samples, settings.quality.flat_mv)
            arm_leg_score(checked.coarse, peaks, settings.leads, settings.rate)
            times.append(process_time())
            for stage, begin, end in zip(STAGES, times, times[1:], strict=False):
                spent[stage] += end - begin
    return spent
