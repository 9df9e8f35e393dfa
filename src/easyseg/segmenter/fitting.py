"""`Segmenter.fit`: from settings and data to a trained model, a history and a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from easyseg.config import FitSettings, ModelSettings, evaluation_interval
from easyseg.data.batches.loaders import TrainingLoader
from easyseg.devices import Compute, is_out_of_memory
from easyseg.errors import OutputError, TrainingError
from easyseg.io.locks import run_lock
from easyseg.results import History
from easyseg.segmenter.building import classes_to_learn
from easyseg.segmenter.finishing import finish_run
from easyseg.segmenter.fitted import FittedModel, StartingPoint
from easyseg.segmenter.places import agreed_place
from easyseg.segmenter.planning import Plan, plan_training
from easyseg.segmenter.preparing import (
    Job,
    cache_note,
    new_average,
    new_comparison,
    new_job,
    new_loader,
    new_optimizer,
    new_training_evaluation,
    seeded,
)
from easyseg.segmenter.recording import Announcer, Recording
from easyseg.segmenter.resuming import Checkpoints
from easyseg.segmenter.tasks import work_of
from easyseg.segmenter.watching import NUM_WATCHERS, watchers
from easyseg.training.callbacks import BestTracker, Callback, EarlyStopping, FitInfo, FitSummary, ProgressBar
from easyseg.training.engine import train
from easyseg.training.finiteness import SkippedStep
from easyseg.training.interruption import Interrupted, Interruption
from easyseg.training.joining import joined_world
from easyseg.training.loggers import build_loggers
from easyseg.training.optim import MovingAverage
from easyseg.training.progress import LoopPlan
from easyseg.training.run import TrainingRun
from easyseg.training.stage_table import stage_table
from easyseg.training.stages import ResolvedStage

BROKEN_OFF = "it was interrupted by an error"
STOPPED_BY_HAND = "it was stopped by Ctrl-C"


def run_training(
    data: Any,
    validation: Any,
    settings: FitSettings,
    *,
    model_settings: ModelSettings,
    compute: Compute,
    fitted: FittedModel | None,
    hand_over: Callable[[FittedModel, History], None],
) -> History:
    """Train, hand over the best model, after an error or Ctrl-C, too, and return the course of the training.

    Args:
        data: as for `Segmenter.fit`.
        validation: likewise.
        settings: of the training.
        model_settings: of the model, where it is built now.
        compute: device and number format.
        fitted: a model to go on from, or None.
        hand_over: is given the model and the course of the training as soon as neither changes any more.
    """
    begun = time.perf_counter()
    build_loggers(settings.loggers)  # a name or a package that is missing is told before any work
    with joined_world(compute.device) as world:
        plan = plan_training(
            data, validation, settings, model_settings=model_settings, compute=compute, fitted=fitted, world=world
        )
        job = new_job(
            plan.halves,
            validation,
            plan.settings,
            model_settings=model_settings,
            compute=compute,
            fitted=plan.fitted,
            world=world,
        )
        # the folder last: a mistake leaves none behind
        return _run(job, replace(plan, place=agreed_place(plan.place.claimed, world)), begun, hand_over)


def _run(job: Job, plan: Plan, begun: float, hand_over: Callable[[FittedModel, History], None]) -> History:
    world = job.world
    with (
        seeded(job.model_settings.seed, job.compute, deterministic=job.settings.deterministic, rank=world.rank),
        closing(new_loader(job)) as loader,
        _locked(plan.place.path if world.is_first else None),
    ):
        session = _Session(job, loader, plan, begun)
        with _rescued(session.recording, hand_over, plan.start), _memory_in_words(job):
            session.recording.history.stopped = session.train()
        best = session.recording.best_model()
        hand_over(best, session.recording.history)  # before files are written, which may fail
        session.finish(best)
        world.barrier()  # whoever goes on finds the run folder complete
    return session.recording.history


class _Session:
    """One attempt at a run: all that takes part in it, put together."""

    def __init__(self, job: Job, loader: TrainingLoader, plan: Plan, begun: float) -> None:
        place = plan.place
        self._job, self._loader, self._place = job, loader, place
        evaluation = new_training_evaluation(job, spare_bytes=loader.spare_bytes)
        folder = place.open() if job.world.is_first else None
        if folder is not None:  # first of all: a kill must not leave files that nobody knows for a run's
            folder.write_config(job.config, goes_on=job.goes_on)
            plan.identity.write(folder.path)
        self._announcer = Announcer(folder, verbose=job.settings.verbose is not False and job.world.is_first)
        self._announcer.begin(job)
        for note in filter(None, (place.note, plan.note, cache_note(loader))):
            self._announcer.say(note)
        self._interruption = Interruption()
        average = new_average(job)
        self._patience = EarlyStopping(job.stages[0].patience)
        self.recording = Recording(
            job.fitted,
            evaluation,
            average=average,
            monitor=job.settings.monitor,
            model_settings=job.model_settings,
            announcer=self._announcer,
            goes_on=job.goes_on,
            poll=self._heed_signals,
        )
        self._run = self._new_run(average, begun)
        self._checkpoints = Checkpoints(
            place.path,
            self._run,
            self.recording,
            interruption=self._interruption,
            every_seconds=job.settings.checkpoint_every_seconds,
            say=self._announcer.say,
        )

    def _new_run(self, average: MovingAverage | None, begun: float) -> TrainingRun:
        job, say = self._job, self._announcer.say
        if job.world.is_first:
            watching = watchers(job, self._loader, average, run_dir=self._place.path, say=say)
            others = [ProgressBar(verbose=job.settings.verbose), *watching, *job.settings.callbacks]
        else:  # as many, because a checkpoint counts them
            others = [Callback() for _ in range(1 + NUM_WATCHERS + len(job.settings.callbacks))]
        run = TrainingRun(
            job.fitted.model,
            new_optimizer(job),
            compute=job.compute,
            best=_new_best(job),
            average=average,
            observers=[self.recording, self._patience, *others],
            say=say,
            report_skipped=self._report_skipped,
        )
        run.started_at, run.world = begun, job.world
        return run

    def train(self) -> str:
        """Train to the end of the last stage, from where an earlier session was interrupted, and return why it ended.

        Raises:
            KeyboardInterrupt, SystemExit: after Ctrl-C or SIGTERM, when everything is saved.
        """
        job, run, best = self._job, self._run, self._run.best
        if job.settings.compile:
            job.fitted.model.network.compile()
        info = self._info()
        for observer in run.observers:
            observer.fit_started(info)
        if self._place.goes_on and self._checkpoints.resume():
            self._announcer.say(
                f"Going on after {run.position.step} batches; of epoch {run.position.epoch + 1}, "
                f"{run.position.batch} of {len(self._loader)} are done."
            )
        self._checkpoints.prepare(accumulates=job.settings.accumulate > 1)
        reason, is_complete = BROKEN_OFF, False
        try:
            with self._catching_signals():
                ending = self._train_stages()
                self._heed_signals()
            reason, is_complete = ending, True
        except Interrupted:
            self._checkpoints.save()
            reason = "it was interrupted; run the same command again to go on"
            self._interruption.leave()
        except KeyboardInterrupt:
            reason = STOPPED_BY_HAND
            raise
        finally:
            seconds = run.position.seconds + time.perf_counter() - run.started_at
            for observer in run.observers:
                observer.fit_ended(FitSummary(reason, seconds, best.epoch, best.value, is_complete=is_complete))
        return reason

    def finish(self, best: FittedModel) -> None:
        """Write curves, pictures and the report, and delete the checkpoints."""
        job, folder, training = self._job, self.recording.folder, None
        if self._place.path is not None:
            self.recording.best_score()  # by all processes together; the report is written by one
            comparison = new_comparison(job)
            training = comparison.measure(best.model) if comparison is not None else None
        if folder is not None:
            self.recording.write_again(best)
            finish_run(folder, best, self.recording, job, training=training)
            self._checkpoints.finish()
        self._announcer.end(job)

    def _train_stages(self) -> str:
        stages, run = self._job.stages, self._run
        while run.position.stage < len(stages) and not run.position.is_called_off:
            stage = stages[run.position.stage]
            stage.begin(self._job.fitted.model, run.optimizer)
            self._loader.resize_batches(stage.batch_size)
            if run.position.stage_step == 0:
                self._begin_anew(stage, stages[run.position.stage - 1] if run.position.stage else None)
            train(
                run,
                self._loader,
                plan=_new_plan(self._job, stage, len(self._loader)),
                evaluate=self.recording.measure,
                after_batch=self._checkpoints.after_batch,
            )
        return run.position.ending

    def _begin_anew(self, stage: ResolvedStage, earlier: ResolvedStage | None) -> None:
        """Do what is due before the first batch of a stage."""
        self._run.update.drop_open_step()
        self._patience.stage_started(stage.patience)
        if earlier is not None and earlier.restore_best:
            self.recording.take_up_best()
        if stage.name or stage.frozen:
            number = self._run.position.stage + 1
            self._announcer.say(stage_table(stage, self._job.fitted.model, number=number, count=len(self._job.stages)))

    def _heed_signals(self) -> None:
        """Raise `Interrupted` in all processes where somebody wants one of them to stop."""
        if self._place.path is not None:
            self._interruption.join(*self._job.world.highest(self._interruption.number))
            self._interruption.raise_if_requested()

    def _catching_signals(self) -> AbstractContextManager[None]:
        # without a folder nothing can be saved, and there is no reason to wait for the end of a batch
        return self._interruption.listening() if self._place.path is not None else nullcontext()

    def _info(self) -> FitInfo:
        settings, compute = self._job.settings, self._job.compute
        return FitInfo(
            epochs=sum(stage.epochs for stage in self._job.stages) if settings.time_budget is None else None,
            steps_per_epoch=len(self._loader),
            batch_size=int(settings.batch_size),
            num_images=self._loader.num_images,
            device=str(compute.device),
            precision=compute.precision,
            monitor=settings.monitor,
            run_dir=self._place.path,
        )

    def _report_skipped(self, skipped: Sequence[SkippedStep]) -> None:
        newest = skipped[-1]
        self._announcer.say(
            f"Epoch {newest.epoch + 1}, batch {newest.step + 1} of the run: the loss or its gradient is no finite "
            "number, and the step is skipped."
        )
        if self.recording.folder is not None:
            names = [sample.name for sample in self._job.data.train.samples]
            steps = [{**asdict(step), "names": [names[index] for index in step.images]} for step in skipped]
            with suppress(OutputError):  # on a full disk, too: the steps stay known, and the next report has them
                self.recording.folder.write_nan_report({"seed": self._job.model_settings.seed, "skipped_steps": steps})


@contextmanager
def _rescued(
    recording: Recording, hand_over: Callable[[FittedModel, History], None], start: StartingPoint
) -> Iterator[None]:
    """Leave a usable model behind when the block breaks off: the best so far, or else the one from before."""
    try:
        yield
    except BaseException as error:  # Ctrl-C is none of `Exception`
        recording.history.stopped = STOPPED_BY_HAND if isinstance(error, KeyboardInterrupt) else BROKEN_OFF
        rescued = recording.rescued_model()
        if rescued is not None:
            hand_over(replace(rescued, unfinished=start), recording.history)
        raise


@contextmanager
def _memory_in_words(job: Job) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        size, processes, device = job.settings.batch_size, job.world.size, job.compute.device
        if processes > 1:
            raise TrainingError(
                f"The memory of {device} does not suffice for its part of a batch of {size} images on {processes} "
                "devices; only a training on one device cuts batches up by itself. Type a smaller batch_size or "
                "image_size."
            ) from error
        raise TrainingError(
            f"The memory of {device} does not suffice, even for one image at a time out of a batch of {size}. "
            "Type a smaller image_size, a smaller encoder, or device='cpu'."
        ) from error


def _locked(path: Path | None) -> AbstractContextManager[None]:
    return run_lock(path) if path is not None else nullcontext()


def _new_best(job: Job) -> BestTracker:
    settings, work = job.settings, work_of(job.fitted.model)
    classes = classes_to_learn(job.fitted.class_map, job.model_settings)
    return BestTracker(
        settings.monitor,
        min_delta=settings.min_delta,
        check_best_cooldown=settings.check_best_cooldown,
        direction=work.direction_of(settings.monitor, classes),
        floor=work.floor,
    )


def _new_plan(job: Job, stage: ResolvedStage, steps_per_epoch: int) -> LoopPlan:
    settings = job.settings
    total = sum(each.epochs for each in job.stages)
    interval, unit = evaluation_interval(settings.evaluate_every)
    return LoopPlan(
        compute=job.compute,
        epochs=stage.epochs,
        steps_per_epoch=steps_per_epoch,
        evaluate_every=interval if unit == "steps" else interval * steps_per_epoch,
        learning_rate_factor=stage.learning_rate_factor,
        accumulate=settings.accumulate,
        clip_gradients=settings.clip_gradients,
        time_budget=settings.time_budget,
        stage=stage.name,
        share=(stage.first_epoch / total, (stage.first_epoch + stage.epochs) / total),
    )
