//! Generated from `agent/proto`.

/// Objects of Kubernetes.
#[expect(clippy::struct_field_names, unreachable_pub, reason = "generated code")]
pub(super) mod core {
    include!(concat!(env!("OUT_DIR"), "/core.rs"));
}

/// The kubelet's Pods API.
#[expect(unreachable_pub, unused_qualifications, reason = "generated code")]
#[cfg_attr(
    test,
    expect(
        clippy::allow_attributes,
        clippy::default_trait_access,
        reason = "generated code"
    )
)]
pub(super) mod pods {
    include!(concat!(env!("OUT_DIR"), "/v1alpha1.rs"));
}
