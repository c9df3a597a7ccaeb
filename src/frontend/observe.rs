//! Metrics and health, for who watches the service: on a port of the loopback interface, never on the
//! devices' one.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::http;
use crate::telemetry::metrics::{self, FrontendMetrics};
use crate::wire::frontend::{Request as ToSigner, Response as FromSigner};
use crate::wire::{Client, LinkStatus};

/// What the watchers' port needs.
#[derive(Clone)]
pub(super) struct Observed {
    pub(super) signer: Client<ToSigner>,
    pub(super) metrics: Arc<FrontendMetrics>,
}

impl Observed {
    /// Serves on `listener` until it is dropped.
    pub(super) async fn serve(self, listener: TcpListener, limits: watch::Receiver<http::Limits>) {
        let router = Router::new()
            .route("/metrics", get(show))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .with_state(self);
        http::serve(vec![listener], router, limits, std::future::pending()).await;
    }

    /// The signer's metrics; none while it is away.
    async fn of_signer(&self) -> Option<String> {
        if !matches!(self.signer.status(), LinkStatus::Up { .. }) {
            return None;
        }
        match self.signer.call(ToSigner::Metrics).await {
            Ok(FromSigner::Metrics(text)) => Some(text),
            Ok(FromSigner::Unavailable(why)) => {
                log::error!("the signer has no metrics: {why}");
                None
            }
            Ok(_) => {
                log::error!("the signer answers the question for metrics with something else");
                None
            }
            Err(e) => {
                log::warn!("the signer's metrics did not come: {e}");
                None
            }
        }
    }

    /// What keeps devices from enrolling, a line each.
    async fn problems(&self) -> Vec<String> {
        match self.signer.call(ToSigner::Health).await {
            Ok(FromSigner::Health { problems }) => problems,
            Ok(_) => vec!["the signer is of another release".to_owned()],
            Err(e) => vec![format!("the signer does not answer: {e}")],
        }
    }
}

async fn show(State(observed): State<Observed>) -> Response {
    let signer = observed.of_signer().await;
    match observed.metrics.text(signer.is_some()) {
        Ok(own) => {
            let text = own + &signer.unwrap_or_default();
            ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
        }
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")).into_response(),
    }
}

async fn ready(State(observed): State<Observed>) -> (StatusCode, String) {
    let problems = observed.problems().await;
    match problems.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n"),
    }
}
