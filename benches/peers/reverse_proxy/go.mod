module portcullis.dev/benches/reverse-proxy

go 1.24
