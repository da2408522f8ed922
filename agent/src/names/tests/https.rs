//! A kubelet's `/pods` of our own, with a certificate of our own.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    sync::Arc,
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::files::{ID, OTHER, UID};
use crate::names::{Error, Facts, Kubelet, KubeletAccess, Source};

const TOKEN: &str = "eyJ.token";

pub(super) fn pods() -> String {
    format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{}},"items":[{{
        "metadata":{{"name":"checkout-7d9f-x2","namespace":"shop","uid":"{UID}",
            "creationTimestamp":null,"labels":{{"pod-template-hash":"7d9f"}},
            "annotations":{{"kubernetes.io/config.source":"api"}},
            "ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet",
                "name":"checkout-7d9f","uid":"x","controller":true}}]}},
        "spec":{{"containers":[{{"name":"app","image":"x",
                "resources":{{"requests":{{"cpu":"250m","memory":"1Gi"}}}}}}],
            "initContainers":[{{"name":"proxy","restartPolicy":"Always","resources":{{}}}}]}},
        "status":{{"phase":"Running",
            "initContainerStatuses":[{{"name":"proxy","containerID":"cri-o://{OTHER}"}}],
            "containerStatuses":[{{"name":"app","state":{{"running":{{}}}},"lastState":{{}},
                "containerID":"containerd://{ID}"}}]}}}}]}}"#
    )
}

/// Answers one request; its certificate is for 127.0.0.1.
fn serve(status: &'static str, body: String, folder: &Path) -> KubeletAccess {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], PrivateKeyDer::from(key))
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let tls = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = StreamOwned::new(tls, stream);
        let mut asked = [0; 4096];
        // Who does not trust the certificate says nothing.
        let Ok(length) = stream.read(&mut asked) else {
            return;
        };
        let asked = String::from_utf8_lossy(&asked[..length]).to_lowercase();
        let knows = asked.contains(&format!("authorization: bearer {}", TOKEN.to_lowercase()));
        let status = if knows && asked.starts_with("get /pods ") {
            status
        } else {
            "400 Bad Request"
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all((head + &body).as_bytes());
        let _ = stream.flush();
    });
    fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
    fs::write(folder.join("ca.crt"), pair.cert.pem()).unwrap();
    KubeletAccess {
        url: format!("https://127.0.0.1:{port}"),
        token_file: folder.join("token"),
        authority_file: folder.join("ca.crt"),
    }
}

fn asked(status: &'static str, body: String) -> Result<Facts, Error> {
    let folder = tempfile::tempdir().unwrap();
    Kubelet::new(serve(status, body, folder.path())).read()
}

fn failure(access: KubeletAccess) -> String {
    Kubelet::new(access).read().unwrap_err().to_string()
}

#[test]
fn the_list_of_pods() {
    let facts = asked("200 OK", pods()).unwrap();
    let pod = &facts.pods[UID];
    assert_eq!(pod.name.as_deref(), Some("checkout-7d9f-x2"));
    assert_eq!(pod.workload.as_ref().unwrap().kind, "Deployment");
    let app = &facts.containers[ID];
    assert_eq!(
        (app.name.as_deref(), app.cpu_request),
        (Some("app"), Some(0.25))
    );
    assert_eq!(facts.containers[OTHER].name.as_deref(), Some("proxy"));
    for none in [r#"{"items":[]}"#, r#"{"items":null}"#] {
        let none = asked("200 OK", none.into()).unwrap();
        assert_eq!(none, Facts::default());
    }
}

#[test]
fn answers_that_are_none() {
    let refused = asked("403 Forbidden", String::new()).unwrap_err();
    assert!(refused.to_string().contains("nodes/pods"), "{refused}");
    let broken = asked("500 Internal Server Error", String::new()).unwrap_err();
    assert!(broken.to_string().contains("500"), "{broken}");
    let nonsense = asked("200 OK", "{".into()).unwrap_err();
    assert!(
        nonsense.to_string().contains("no list of pods"),
        "{nonsense}"
    );
}

#[test]
fn the_token_goes_to_none_but_the_kubelet() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let access = serve("200 OK", pods(), folder.path());
    let stranger = serve("200 OK", pods(), other.path());
    let untrusted = failure(KubeletAccess {
        authority_file: stranger.authority_file.clone(),
        ..access.clone()
    });
    assert!(untrusted.contains("certificate"), "{untrusted}");
    let plain = failure(KubeletAccess {
        url: access.url.replace("https", "http"),
        ..access.clone()
    });
    assert!(plain.contains("cannot ask"), "{plain}");
    let missing = failure(KubeletAccess {
        token_file: folder.path().join("none"),
        ..access
    });
    assert!(missing.contains("does not exist"), "{missing}");
}
