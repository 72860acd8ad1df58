"""The worker of a batch job: runs `run(mini_batch)` in the model's environment. Started and fed by `mlctl.batch`."""
