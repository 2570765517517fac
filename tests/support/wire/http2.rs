//! A client of HTTP/2 for requests that are legal there, with header sets of any kind.

use std::net::Ipv4Addr;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::{HeaderName, HeaderValue, Method, Request, Uri};

use super::super::message::{Broken, Lines};
use super::super::stub::{headers_of, lines_of, send_data};
use super::super::within;
use super::{Endpoint, Response};

/// One TLS connection with HTTP/2 agreed.
#[derive(Clone)]
pub(crate) struct Http2 {
    endpoint: Endpoint,
    /// From where it was connected, if that was asked for.
    source: Option<Ipv4Addr>,
    sender: SendRequest<Bytes>,
}

impl Http2 {
    pub(crate) async fn connect(endpoint: &Endpoint) -> Self {
        Self::on(endpoint, None).await
    }

    /// From an address of the loopback network.
    pub(crate) async fn connect_from(endpoint: &Endpoint, source: Ipv4Addr) -> Self {
        Self::on(endpoint, Some(source)).await
    }

    /// A new connection from the same place to the same place.
    pub(crate) async fn again(&self) -> Self {
        Self::on(&self.endpoint, self.source).await
    }

    async fn on(endpoint: &Endpoint, source: Option<Ipv4Addr>) -> Self {
        let stream = match source {
            Some(source) => endpoint.connect_from(source, "h2").await,
            None => endpoint.connect("h2").await,
        };
        let mut builder = Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(4 << 20).enable_push(false);
        let (sender, connection) = within("HTTP/2", builder.handshake(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { endpoint: endpoint.clone(), source, sender }
    }

    /// Sends one request and reads its response.
    pub(crate) async fn request(
        &self,
        method: &str,
        target: &str,
        lines: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, h2::Error> {
        self.request_with_trailers(method, target, lines, body, &Lines::new()).await
    }

    /// The same, with trailers after the body.
    pub(crate) async fn request_with_trailers(
        &self,
        method: &str,
        target: &str,
        lines: &[(&str, &str)],
        body: &[u8],
        trailers: &Lines,
    ) -> Result<Response, h2::Error> {
        let has_body = !body.is_empty() || !trailers.is_empty();
        let (response, mut sender) = self.start(method, target, lines, !has_body).await?;
        if has_body {
            send_data(&mut sender, body, trailers.is_empty()).await;
        }
        if !trailers.is_empty() {
            // A gate that has refused the request already no longer listens.
            let _ = sender.send_trailers(headers_of(trailers));
        }
        response_of(response).await
    }

    /// Sends a request's head, with the body to come unless `end`.
    pub(crate) async fn start(
        &self,
        method: &str,
        target: &str,
        lines: &[(&str, &str)],
        end: bool,
    ) -> Result<(ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let uri = Uri::builder().scheme("https").authority("gate.example").path_and_query(target);
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        *request.uri_mut() = uri.build().unwrap();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut ready = within("room for a stream", self.sender.clone().ready()).await?;
        ready.send_request(request, end)
    }
}

/// Whether the gate has said that it did nothing with the request, or it never left: it may be sent again.
pub(crate) fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
        || error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

/// The whole response, as far as it comes; an error only if there is no head.
pub(crate) async fn response_of(future: ResponseFuture) -> Result<Response, h2::Error> {
    let (head, mut stream) = within("a response", future).await?.into_parts();
    let mut response = Response {
        status: head.status.as_u16(),
        lines: lines_of(&head.headers),
        body: vec![],
        trailers: vec![],
        broken: None,
    };
    let body = async {
        while let Some(data) = stream.data().await {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            response.body.extend_from_slice(&data);
        }
        if let Some(trailers) = stream.trailers().await? {
            response.trailers = lines_of(&trailers);
        }
        Ok::<_, h2::Error>(())
    };
    if let Err(error) = within("a body", body).await {
        response.broken = Some(Broken::Failed(error.to_string()));
    }
    Ok(response)
}
