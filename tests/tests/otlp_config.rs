//! What is wrong in the settings of the agent is told with its place, before anything is loaded.

use tests::report::crosstalk;

fn check(yaml: &str, variables: &[(&str, &str)]) -> (bool, String) {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("agent-{}-{number}.yaml", std::process::id()));
    std::fs::write(&path, yaml).expect("a file of ours");
    let mut command = crosstalk(&["agent", "--check", "--config"]);
    let output = command.arg(&path).envs(variables.iter().copied()).output();
    std::fs::remove_file(&path).expect("a file of ours");
    let output = output.expect("the binary starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).replace(&path.display().to_string(), "FILE");
    (output.status.success(), said)
}

#[test]
fn right_settings_are_said_to_be_right() {
    let (ok, said) = check("interval: 30s\nexport:\n  endpoint: http://a:4318\n", &[]);
    assert!(ok, "{said}");
    assert!(
        said.contains("every 30s to http://a:4318/v1/metrics"),
        "{said}"
    );
}

#[test]
fn wrong_keys_and_values_are_told_with_file_line_and_key() {
    for (yaml, place) in [
        ("interval: 10s\nintervall: 5s\n", "FILE:2: `intervall`"),
        ("export:\n  compression: zip\n", "FILE:2: `compression`"),
        ("limits:\n\n  series: many\n", "FILE:3: `series`"),
    ] {
        let (ok, said) = check(yaml, &[]);
        assert!(
            !ok && said.contains(place) && said.contains("docs/agent.md"),
            "{yaml}: {said}"
        );
    }
}

#[test]
fn wrong_variables_are_named_and_files_that_are_not_there_too() {
    let (ok, said) = check("", &[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")]);
    assert!(!ok && said.contains("OTEL_EXPORTER_OTLP_TIMEOUT"), "{said}");
    let (ok, said) = check("export: {tls: {ca_file: /nowhere/ca.pem}}", &[]);
    assert!(!ok && said.contains("/nowhere/ca.pem"), "{said}");
}
