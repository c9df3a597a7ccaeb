//! The access log: one record a request, and nothing of its URL but the operation (T53).

use std::net::IpAddr;
use std::time::Instant;

use super::reply::Reply;
use crate::telemetry::event;
use crate::telemetry::metrics::FrontendMetrics;

/// What is known of a request before it is answered.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) source: IpAddr,
    pub(super) began: Instant,
    /// `-` where the path leads nowhere.
    pub(super) endpoint: String,
    /// `-` where none is asked for.
    pub(super) operation: &'static str,
    /// `-` where no message was readable.
    pub(super) transaction: String,
}

impl Access {
    pub(super) fn new(source: IpAddr) -> Self {
        let (endpoint, transaction) = ("-".to_owned(), "-".to_owned());
        Self { source, began: Instant::now(), endpoint, operation: "-", transaction }
    }

    /// Writes the record and counts the request.
    pub(super) fn log(&self, reply: &Reply, metrics: &FrontendMetrics) {
        metrics.request(
            (&self.endpoint, self.operation),
            (reply.outcome, reply.status.as_u16()),
            self.began.elapsed(),
        );
        self.log_to(log::logger(), reply);
    }

    fn log_to(&self, logger: &dyn log::Log, reply: &Reply) {
        log::info!(
            logger: logger,
            event = event::ACCESS,
            endpoint = self.endpoint,
            operation = self.operation,
            transaction = self.transaction,
            outcome = reply.outcome,
            status = reply.status.as_u16(),
            source:% = self.source,
            duration_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            "request"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps the fields of every record.
    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl log::Log for Kept {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            struct Fields(Vec<String>);
            impl<'kvs> log::kv::VisitSource<'kvs> for Fields {
                fn visit_pair(
                    &mut self,
                    key: log::kv::Key<'kvs>,
                    value: log::kv::Value<'kvs>,
                ) -> Result<(), log::kv::Error> {
                    self.0.push(format!("{key}={value}"));
                    Ok(())
                }
            }
            let mut fields = Fields(Vec::new());
            record.key_values().visit(&mut fields).unwrap();
            self.0.lock().unwrap().extend(fields.0);
        }

        fn flush(&self) {}
    }

    #[test]
    fn a_record_has_its_fields_and_no_more() {
        log::set_max_level(log::LevelFilter::Info);
        let mut access = Access::new("192.0.2.7".parse().unwrap());
        access.endpoint = "device".to_owned();
        access.operation = "PKIOperation";
        let kept = Kept::default();
        access.log_to(&kept, &Reply::unavailable("busy", 5));
        let fields = kept.0.into_inner().unwrap();
        let (duration, fields) = fields.split_last().unwrap();
        assert_eq!(
            fields,
            [
                "event=access",
                "endpoint=device",
                "operation=PKIOperation",
                "transaction=-",
                "outcome=busy",
                "status=503",
                "source=192.0.2.7"
            ]
        );
        assert!(duration.starts_with("duration_ms="));
    }
}
