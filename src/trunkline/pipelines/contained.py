"""What containers can't do for a pipeline yet, though this machine itself can."""

from trunkline.model.pipelines import PipelineSpec

NO_NETWORK, HOST_NETWORK = "none", "host"


def lacking(spec: PipelineSpec) -> str:
    """Why the code of a spec can't run in a container, as a sentence; nothing if it can."""
    if spec.spout:
        return (
            "a spout puts files into its repo through the server, which containers don't reach yet"
        )
    if spec.service is not None and spec.transform.network != HOST_NETWORK:
        return (
            "a service in a container is reached only in the network of this machine; set "
            '`transform.network` to "host"'
        )
    return ""
