"""`hoaban models evaluate`: two models over a suite of recordings, and whether one may take the other's place."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import cv2
import typer

from actors.labels import is_labelled, look, read_labels
from actors.models import ModelError, load_detector
from actors.models.files import ModelPackage, open_package
from actors.promotions import RegistryError
from actors.source import SourceError
from actors.suite import SHIPPED, OnDisk, load_suite
from cli.common import data_folder, one_line, print_json, refuse, written
from cli.promote import NAME, DataFolder, standing_for
from cli.replay import run
from hoaban.evaluation.pictures import PictureErrors, PictureSuite, picture_reports
from hoaban.evaluation.report import Report, Run, compare
from hoaban.events import Event
from hoaban.fleet import Role
from hoaban.fleet_text import FleetErrors
from hoaban.models.backend import Detector


def evaluate(
    candidate: Annotated[str, typer.Argument(help="NAME[@VERSION], or the folder of a card")],
    against: Annotated[
        str, typer.Option(metavar="NAME[@VERSION]", help="the present model; a bare name: what it stands for now")
    ] = NAME,
    data: DataFolder = None,
    suite: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER|FILE", help="recordings, or labelled pictures; by default the shipped hand counts"
        ),
    ] = None,
    role: Annotated[
        list[Role] | None, typer.Option(help="camera role that has to be judged; by default those of the suite")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the report, for `hoaban models promote`")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the report on standard output")] = False,
) -> None:
    """Replay both models over a suite and judge the candidate. Exit code 0: it passed; 1: it is refused."""
    try:
        places, labelled = _apart(suite or [SHIPPED])
        recordings = load_suite(places) if places else []
        pictures = [(folder, read_labels(folder)) for folder in labelled]
        packages = [standing_for(data_folder(data), against), open_package(candidate)]
        runs = [run_suite(package, recordings) for package in packages]
        seen = [_look(package, pictures) for package in packages] if pictures else [[], []]
    except FleetErrors as errors:
        print(errors, file=sys.stderr)
        raise typer.Exit(2) from None
    except (ModelError, RegistryError, SourceError) as error:
        refuse(str(error))
    report = compare(
        packages[1].card,
        packages[0].card,
        [one.suited for one in recordings],
        list(zip(*runs, strict=True)),
        [one.value for one in role or ()],
        [
            report
            for (_, found), present, tried in zip(pictures, *seen, strict=True)
            for report in picture_reports(found, present, tried)
        ],
    )
    if out is not None:
        with written(out, suite or []) as file:
            file.write(report.model_dump_json(indent=2) + "\n")
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        _show(report)
    raise typer.Exit(0 if report.passed else 1)


def _apart(places: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Of a suite's places, those with recordings, and folders of labelled pictures, which may lie in one of them."""
    recordings: list[Path] = []
    labelled: list[Path] = []
    for place in places:
        inside = sorted(path for path in place.iterdir() if is_labelled(path)) if place.is_dir() else []
        labelled += [place] if is_labelled(place) else inside
        if not is_labelled(place) and (not inside or any(place.glob("*.yaml"))):
            recordings.append(place)
    return recordings, labelled


def _look(package: ModelPackage, pictures: Sequence[tuple[Path, PictureSuite]]) -> list[list[PictureErrors]]:
    """What a model makes of labelled pictures. Raises ModelError."""
    cv2.setNumThreads(1)
    detector = load_detector(package, threads=1, device="cpu")
    detector.warm_up()
    found = []
    for folder, suite in pictures:
        print(f"{detector.ref.name}: {suite.name}", file=sys.stderr)
        try:
            found.append(look(suite, folder, detector))
        except ModelError:
            raise
        except Exception as error:  # a back end may raise anything
            raise ModelError(
                f"model {detector.ref.name!r} failed on pictures of {folder}: {one_line(error)}; it is not judged"
            ) from error
    return found


def run_suite(package: ModelPackage, recordings: Sequence[OnDisk]) -> list[Run]:
    """A model over each recording of a suite. Raises ModelError, SourceError."""
    cv2.setNumThreads(1)
    detector = load_detector(package, threads=1, device="cpu")  # one thread: the same sums on every machine
    detector.warm_up()
    return [run_recording(one, detector) for one in recordings]


def run_recording(one: OnDisk, detector: Detector) -> Run:
    """A model over a recording. Raises SourceError."""
    print(f"{detector.ref.name}: {one.suited.name}", file=sys.stderr)
    out = io.StringIO()
    camera = one.suited.recording.on("suite", one.source)
    summary = run(camera, one.source, detector, out)
    events = [Event.from_json(line) for line in out.getvalue().splitlines()]
    return Run(events, float(str(summary["media_s"])), int(str(summary["frames_failed"])))


def _show(report: Report) -> None:
    print(f"present    {report.present.ref}  {report.present.sha256[:12]}")
    print(f"candidate  {report.candidate.ref}  {report.candidate.sha256[:12]}")
    print(f"suite      {report.suite[:12]}, {len(report.recordings)} recordings")
    for one in report.recordings:
        print(f"{one.name} ({one.role}, {one.view} view): {one.truths} known happenings")
        for name, found in (("present", one.present), ("candidate", one.candidate)):
            print(
                f"  {name:9}  {len(found.missed)} missed, {len(found.false)} false, "
                f"{len(found.wrong_class)} of a wrong class, {found.told} told"
            )
        print(f"  events     {len(one.lost)} lost, {len(one.gained)} gained, {len(one.changed)} of another class")
        for sign, lines in (("-", one.lost), ("+", one.gained), ("~", one.changed)):
            for line in lines:
                print(f"    {sign} {line}")
    if lost := sorted(set(report.present.labels) - set(report.candidate.labels)):
        print(f"the candidate knows no {', '.join(lost[:10])}{' …' if len(lost) > 10 else ''}")
    print(f"{'PASSED' if report.passed else 'REFUSED'}: {report.reason}")
