//! Types of the kubelet's protocols. No compiler of protocols need be installed.

use std::path::Path;

const FILES: [&str; 2] = ["core.proto", "pods.proto"];

/// Objects of Kubernetes come as protobuf and as JSON.
const SERDE: &str = "#[derive(serde::Deserialize)]";
const FROM_JSON: &str = "#[serde(default, rename_all = \"camelCase\")]";

pub(crate) fn generate(folder: &Path) -> Result<(), String> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let files = protox::compile(FILES, [folder])
        .map_err(|error| format!("cannot compile {}: {error}", folder.display()))?;
    let mut builder = tonic_prost_build::configure()
        .btree_map(".")
        .type_attribute(".core", SERDE)
        .server_mod_attribute("v1alpha1", "#[cfg(test)]");
    for message in messages() {
        builder = builder.type_attribute(format!(".core.{message}"), FROM_JSON);
    }
    builder = builder.type_attribute(".core.Quantity", "#[serde(transparent)]");
    for field in ["ContainerStatus", "ContainerStateTerminated"] {
        let path = format!(".core.{field}.containerID");
        builder = builder.field_attribute(path, "#[serde(rename = \"containerID\")]");
    }
    builder
        .compile_fds(files)
        .map_err(|error| format!("cannot generate code: {error}"))
}

/// All but `Quantity`, which is text in JSON.
fn messages() -> [&'static str; 10] {
    [
        "Pod",
        "ObjectMeta",
        "OwnerReference",
        "PodSpec",
        "Container",
        "ResourceRequirements",
        "PodStatus",
        "ContainerStatus",
        "ContainerState",
        "ContainerStateTerminated",
    ]
}
