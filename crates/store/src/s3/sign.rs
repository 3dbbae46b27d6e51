//! Signature Version 4 of our calls.

use crate::http::{Call, Endpoint};
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Request, Uri};
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::{Context, SignRequest};
use ring::digest::{SHA256, digest};

const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Signs the call as one of the service `s3` in this region. The error says why it cannot be signed.
pub(super) async fn sign(
    call: &mut Call,
    endpoint: &Endpoint,
    region: &str,
    credential: &Credential,
) -> Result<(), String> {
    let scheme = if endpoint.is_tls() { "https" } else { "http" };
    let uri: Uri = format!("{scheme}://{}{}", endpoint.authority(), call.target)
        .parse()
        .map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let mut request = Request::new(());
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = uri;
    request.headers_mut().extend(call.headers.drain(..));
    let content = hex(digest(&SHA256, &call.body).as_ref());
    let content = HeaderValue::try_from(content).map_err(|error| error.to_string())?;
    request.headers_mut().insert(CONTENT, content);
    let (mut parts, ()) = request.into_parts();
    RequestSigner::new("s3", region)
        .sign_request(&Context::new(), &mut parts, Some(credential), None)
        .await
        .map_err(|error| error.to_string())?;
    let mut last = None;
    for (name, value) in parts.headers {
        // A name is told once for all its values.
        last = name.or(last);
        match &last {
            // The client writes the same.
            Some(name) if *name == HOST => {}
            Some(name) => call.headers.push((name.clone(), value)),
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::Method;
    use http::header::AUTHORIZATION;

    // That signatures are right is for servers to say: s3s-fs, Ceph and Garage check them (tests/e2e/native/store-s3.sh).
    #[tokio::test]
    async fn all_that_matters_is_signed() {
        let endpoint: Endpoint = "https://examplebucket.s3.amazonaws.com/".parse().unwrap();
        let mut call = Call {
            method: Method::GET,
            target: "/test.txt".to_owned(),
            headers: vec![(http::header::RANGE, HeaderValue::from_static("bytes=0-9"))],
            body: Bytes::new(),
            answer_len_max: 0,
        };
        let credential = Credential {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: Some("token".to_owned()),
            expires_in: None,
        };
        sign(&mut call, &endpoint, "us-east-1", &credential)
            .await
            .unwrap();
        let header = |name: HeaderName| {
            let found = call.headers.iter().find(|(found, _)| *found == name);
            found.unwrap().1.to_str().unwrap().to_owned()
        };
        assert_eq!(
            header(CONTENT),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let signed = header(AUTHORIZATION);
        assert!(
            signed.contains("SignedHeaders=host;range;x-amz-content-sha256;x-amz-date;x-amz-security-token,"),
            "{signed}"
        );
        assert!(!call.headers.iter().any(|(name, _)| *name == HOST));
    }
}
