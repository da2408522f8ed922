//! OTLP over gRPC.

use std::error::Error;

use http::uri::PathAndQuery;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tonic::{
    Code, Request, Status, body::Body, client::Grpc, codec::CompressionEncoding,
    metadata::MetadataMap,
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use super::{Answer, TransportError, accepted, tls};
use crate::config::{Compression, Target};

type Connections = Client<HttpsConnector<HttpConnector>, Body>;

/// Sends requests over a connection that it keeps.
#[derive(Debug)]
pub(super) struct Sender {
    client: Grpc<Connections>,
    headers: MetadataMap,
}

impl Sender {
    pub(super) fn new(target: &Target) -> Result<Sender, TransportError> {
        let connections = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http2_only(true)
            .build(tls::http2(target)?);
        let client = Grpc::with_origin(connections, target.uri.clone())
            .accept_compressed(CompressionEncoding::Gzip);
        let client = match target.compression {
            Compression::Gzip => client.send_compressed(CompressionEncoding::Gzip),
            Compression::None => client,
        };
        Ok(Sender {
            client,
            headers: MetadataMap::from_headers(super::http::headers(target)),
        })
    }

    pub(super) async fn send<R: super::Request>(&self, message: R) -> Answer {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        let (codec, method) = (
            ProstCodec::<R, R::Response>::default(),
            PathAndQuery::from_static(R::METHOD),
        );
        // These connections take requests at any time.
        match self.client.clone().unary(request, method, codec).await {
            Ok(response) => accepted::<R>(response.into_inner()),
            Err(status) => answer(&status),
        }
    }
}

/// Which codes may be tried again is the protocol's to say.
fn answer(status: &Status) -> Answer {
    let retry = status.get_details_retry_info();
    let after = retry.and_then(|info| info.retry_delay);
    let why = format!("{:?}: {}", status.code(), super::chain(status));
    let later = |why| Answer::TryAgain {
        why,
        after,
        may_have_arrived: may_have_arrived(status),
    };
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => later(why),
        Code::ResourceExhausted if after.is_some() => later(why),
        // What a broken connection becomes: no receiver said so.
        Code::Unknown if status.source().is_some() => later(why),
        code => Answer::Refused {
            why,
            divide: matches!(code, Code::InvalidArgument | Code::ResourceExhausted),
        },
    }
}

/// Whether the receiver may have taken the request: not where there was no connection, nor where it
/// says itself that it did not.
fn may_have_arrived(status: &Status) -> bool {
    let Some(error) = status.source() else {
        return matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded);
    };
    let error = error.downcast_ref::<hyper_util::client::legacy::Error>();
    !error.is_some_and(hyper_util::client::legacy::Error::is_connect)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn exhaustion_is_tried_again_only_where_the_receiver_says_when() {
        let code = Code::ResourceExhausted;
        let refused = answer(&Status::new(code, "full"));
        assert!(
            matches!(refused, Answer::Refused { divide: true, .. }),
            "{refused:?}"
        );
        let wait = Duration::from_secs(7);
        let details = ErrorDetails::with_retry_info(Some(wait));
        let later = answer(&Status::with_error_details(code, "full", details));
        assert!(matches!(later, Answer::TryAgain { after: Some(after), .. } if after == wait));
    }

    #[test]
    fn a_receiver_that_says_no_has_not_taken_it_and_one_that_was_late_may_have() {
        for (code, expected) in [
            (Code::Unavailable, false),
            (Code::Aborted, false),
            (Code::DeadlineExceeded, true),
            (Code::Cancelled, true),
        ] {
            let answer = answer(&Status::new(code, ""));
            let Answer::TryAgain {
                may_have_arrived, ..
            } = answer
            else {
                panic!("{answer:?}");
            };
            assert_eq!(may_have_arrived, expected, "{code}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let is_tried_again =
            |code| matches!(answer(&Status::new(code, "")), Answer::TryAgain { .. });
        for code in [
            Code::Unavailable,
            Code::Aborted,
            Code::DeadlineExceeded,
            Code::DataLoss,
        ] {
            assert!(is_tried_again(code), "{code}");
        }
        for code in [
            Code::InvalidArgument,
            Code::Unauthenticated,
            Code::Unimplemented,
            Code::Unknown,
        ] {
            assert!(!is_tried_again(code), "{code}");
        }
    }
}
