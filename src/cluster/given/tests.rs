//! What is taken, and what is refused with which field.

use super::*;
use crate::cluster::source::tests::kubeconfig as text;

fn given(credential: GivenCredential) -> GivenReach {
    let endpoints = vec!["https://10.0.0.1:6443".to_owned()];
    GivenReach { endpoints, ca: None, tls_server_name: None, credential }
}

fn by_kubeconfig(user: &str, cluster: &str) -> Result<CheckedReach, GivenError> {
    let credential = GivenCredential::Kubeconfig { text: Secret::new(text(user, cluster)), context: None };
    GivenReach { endpoints: Vec::new(), ..given(credential) }.check()
}

#[test]
fn a_kubeconfig_is_taken_apart_into_what_is_secret_and_what_is_not() {
    let checked = by_kubeconfig("token: hunter2", "tls-server-name: kubernetes").unwrap();
    assert_eq!(checked.reach.endpoints, [Uri::from_static("https://127.0.0.1:6443")]);
    assert_eq!(checked.reach.tls_server_name.as_deref(), Some("kubernetes"));
    let Some((SealedKind::Token, token)) = &checked.secret else { panic!("no token") };
    assert_eq!(token.expose(), "hunter2");
    assert!(!format!("{checked:?}").contains("hunter2"));
}

#[test]
fn a_kubeconfig_by_value_runs_no_program_and_reads_no_file_of_the_server() {
    for (user, cluster) in [
        ("exec: {apiVersion: client.authentication.k8s.io/v1, command: sh}", ""),
        ("auth-provider: {name: gcp, config: {}}", ""),
        ("tokenFile: /etc/passwd", ""),
        ("{client-certificate: /a, client-key: /b}", ""),
        ("token: a", "certificate-authority: /etc/passwd"),
        ("token: a", "insecure-skip-tls-verify: true"),
        ("token: a", "proxy-url: http://proxy.example.com:3128"),
        ("{username: a, password: b}", ""),
        ("{token: a, as: root}", ""),
        ("{token: a, client-key-data: YQ==}", ""),
        ("{}", ""),
        ("token: \"a b\"", ""),
        ("token: [hunter2", ""),
    ] {
        let error = by_kubeconfig(user, cluster).expect_err(user);
        assert_eq!(error.field, "kubeconfig", "{error}");
        assert!(!error.to_string().contains("hunter2") && !error.to_string().contains("passwd"), "{error}");
    }
}

#[test]
fn every_field_is_named_when_it_is_wrong() {
    let token = || given(GivenCredential::Token(Secret::new("a")));
    let many = (0..17).map(|number| format!("https://10.0.0.{number}")).collect();
    let twice = vec!["https://a".to_owned(), "https://a".to_owned()];
    for (endpoints, count) in
        [(vec![], 0), (vec!["http://a".to_owned()], 1), (vec!["a b".to_owned()], 1), (twice, 2), (many, 17)]
    {
        let error = GivenReach { endpoints, ..token() }.check().unwrap_err();
        assert_eq!(error.field, "endpoints", "{count}");
    }
    let error = GivenReach { ca: Some("PEM".to_owned()), ..token() }.check().unwrap_err();
    assert_eq!(error.field, "caCert");
    let error = GivenReach { tls_server_name: Some("a b".to_owned()), ..token() }.check().unwrap_err();
    assert_eq!(error.field, "tlsServerName");
    for (credential, field) in [
        (GivenCredential::Token(Secret::new(" ")), "token"),
        (GivenCredential::TokenFile("../../etc/passwd".into()), "tokenFile"),
        (GivenCredential::KubeconfigFile { path: "".into(), context: None }, "kubeconfigFile"),
        (
            GivenCredential::ClientCertificate { certificate: "x".to_owned(), key: Secret::new("y") },
            "clientCertificate",
        ),
    ] {
        assert_eq!(given(credential).check().unwrap_err().field, field);
    }
    assert!(token().check().is_ok());
}
