//! Portcullis: a token authority and authenticating reverse proxy for the Kubernetes API.
