//! OTLP over HTTP with protobuf.

use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

use ::http::{
    HeaderMap, Request, StatusCode, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use prost::Message as _;

use super::{Answer, TransportError, accepted, chain, tls};
use crate::config::{self, Target};

/// More of an answer is not read.
const LONGEST_ANSWER: usize = 64 * 1024;
/// More of what a receiver says about an error is not told.
const LONGEST_MESSAGE: usize = 200;

/// Sends requests over connections that it keeps.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    compression: config::Compression,
}

impl Sender {
    pub(super) fn new(target: &Target) -> Result<Sender, TransportError> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(tls::http1(target)?);
        Ok(Sender {
            client,
            uri: target.uri.clone(),
            headers: headers(target),
            compression: target.compression,
        })
    }

    pub(super) async fn send<R: super::Request>(&self, request: &R) -> Answer {
        let response = match self.request(request.encode_to_vec()) {
            Ok(request) => self.client.request(request).await,
            Err(why) => return Answer::Refused { why, divide: false },
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => return failed(chain(&error), !error.is_connect()),
        };
        let (status, after) = (response.status(), retry_after(response.headers()));
        match body(response.into_body()).await {
            Ok(body) => answer::<R>(status, after, &body),
            Err(why) => failed(format!("the answer broke off: {why}"), true),
        }
    }

    fn request(&self, message: Vec<u8>) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::post(&self.uri)
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, super::USER_AGENT);
        let body = match self.compression {
            config::Compression::None => message,
            config::Compression::Gzip => {
                request = request.header(CONTENT_ENCODING, "gzip");
                gzip(&message).map_err(|error| error.to_string())?
            }
        };
        let mut request = request
            .body(Full::from(body))
            .map_err(|error| error.to_string())?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }
}

/// Names and values were checked when the settings were made.
pub(super) fn headers(target: &Target) -> HeaderMap {
    HeaderMap::try_from(
        &target
            .headers
            .clone()
            .into_iter()
            .collect::<std::collections::HashMap<_, _>>(),
    )
    .unwrap_or_default()
}

fn gzip(message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message)?;
    encoder.finish()
}

async fn body(body: Incoming) -> Result<Bytes, String> {
    let read = Limited::new(body, LONGEST_ANSWER).collect().await;
    read.map(http_body_util::Collected::to_bytes)
        .map_err(|error| error.to_string())
}

fn answer<R: super::Request>(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Answer {
    if status.is_success() {
        return accepted::<R>(R::Response::decode(body).unwrap_or_default());
    }
    let why = format!("{status}{}", message(body));
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Answer::TryAgain {
            why,
            after,
            may_have_arrived: false,
        },
        // A gateway says so, and the receiver behind it may have taken the request.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Answer::TryAgain {
            why,
            after,
            may_have_arrived: true,
        },
        _ => Answer::Refused {
            why,
            divide: matches!(
                status,
                StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE
            ),
        },
    }
}

fn failed(why: String, may_have_arrived: bool) -> Answer {
    Answer::TryAgain {
        why,
        after: None,
        may_have_arrived,
    }
}

/// What the receiver says, on one line and safe to print.
fn message(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body)
        .chars()
        .map(|c| {
            if c.is_control() || c == char::REPLACEMENT_CHARACTER {
                ' '
            } else {
                c
            }
        })
        .take(LONGEST_MESSAGE)
        .collect();
    let text = text.trim();
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

    use super::*;

    fn after(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        retry_after(&headers)
    }

    #[test]
    fn a_time_to_come_back_is_seconds_or_a_date() {
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("soon"), None);
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let wait = after(&date).unwrap().as_secs();
        assert!((98..=100).contains(&wait), "{wait}");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let is_tried_again = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = answer::<ExportMetricsServiceRequest>(status, None, b"");
            matches!(answer, Answer::TryAgain { .. })
        };
        for status in [429, 502, 503, 504] {
            assert!(is_tried_again(status), "{status}");
        }
        for status in [200, 400, 401, 403, 404, 413, 500, 501] {
            assert!(!is_tried_again(status), "{status}");
        }
    }

    #[test]
    fn who_refuses_for_now_has_not_taken_it_and_a_gateway_does_not_know() {
        for (status, expected) in [(429, false), (503, false), (502, true), (504, true)] {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = answer::<ExportMetricsServiceRequest>(status, None, b"");
            let Answer::TryAgain {
                may_have_arrived, ..
            } = answer
            else {
                panic!("{answer:?}");
            };
            assert_eq!(may_have_arrived, expected, "{status}");
        }
    }

    #[test]
    fn what_a_receiver_says_cannot_reach_a_terminal_as_it_is() {
        let text = message(&[b"\x1b[31m\n\xff bad".as_slice(), &[b'x'; 1000]].concat());
        assert!(
            text.starts_with(": [31m") && text.len() <= LONGEST_MESSAGE + 4,
            "{text}"
        );
        assert!(!text.contains(char::is_control));
    }
}
