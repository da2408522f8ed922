//! TLS with certificates on both sides.

use tests::agent::{Agent, Ended};
use tests::certificates::Certificates;
use tests::sink::{Protocol, Sink};

fn start(sink: &Sink, protocol: Protocol, files: &[(&str, &std::path::Path)]) -> Agent {
    let endpoint = sink.endpoint();
    let mut args = vec!["--interval", "1s", "--protocol", protocol.name()];
    args.extend(["--endpoint", &endpoint, "--shutdown-timeout", "1s"]);
    for (flag, path) in files {
        args.extend([*flag, path.to_str().expect("text")]);
    }
    Agent::start(&args)
}

#[test]
fn a_receiver_that_wants_a_certificate_gets_metrics() {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let certificates = Certificates::new();
        let sink = Sink::with_tls(protocol, &certificates);
        let agent = start(
            &sink,
            protocol,
            &[
                ("--ca-file", &certificates.path("ca.pem")),
                ("--cert-file", &certificates.path("agent.pem")),
                ("--key-file", &certificates.path("agent.key")),
            ],
        );
        sink.wait("a request", |received| !received.is_empty());
        assert!(agent.terminate().exported().points > 0);
    }
}

#[test]
fn nothing_is_sent_to_a_receiver_that_is_not_trusted_or_does_not_trust() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let sink = Sink::with_tls(Protocol::Http, &certificates);
    for authority in [certificates.path("ca.pem"), others.path("ca.pem")] {
        let agent = start(&sink, Protocol::Http, &[("--ca-file", &authority)]);
        std::thread::sleep(std::time::Duration::from_secs(3));
        let ended: Ended = agent.terminate();
        let exported = ended.exported();
        assert!(exported.failed > 0 && exported.points == 0, "{exported:?}");
        assert!(ended.log.contains("ertificate"), "{}", ended.log);
    }
    assert!(sink.received().is_empty());
}
