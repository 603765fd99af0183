"""A book of jobs whose runner, in this process, hears what PostgreSQL would tell the real one."""

from auth.jobs import Job, JobBook


class HeardBook(JobBook):
    """Tells `runner` of jobs that wait and of jobs that were cancelled."""

    def __init__(self, database, runner):
        super().__init__(database)
        self.runner = runner

    async def add(self, *arguments, waiting=True, **named) -> Job:
        job = await super().add(*arguments, waiting=waiting, **named)
        if waiting:
            self.runner.hear(job)
        return job

    async def follow(self, *arguments) -> Job:
        job = await super().follow(*arguments)
        self.runner.hear(job)
        return job

    async def hand_over(self, job) -> None:
        self.runner.answer()
        await super().hand_over(job)
        self.runner.hear(job)

    async def cancel(self, *arguments) -> Job:
        job = await super().cancel(*arguments)
        self.runner.stop(job)
        return job
