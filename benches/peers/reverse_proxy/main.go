// A reverse proxy of Go's standard library, as others for the Kubernetes API are built on it. It knows its one token and
// rewrites the same headers as we do.
package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
)

func main() {
	listen := flag.String("listen", "", "where to listen")
	origin := flag.String("origin", "", "URL of the origin")
	certificate := flag.String("certificate", "", "certificate to serve")
	key := flag.String("key", "", "its key")
	ca := flag.String("ca", "", "authority of the origin")
	protocol := flag.String("upstream", "h2", "h2 or h1")
	flag.Parse()

	target, err := url.Parse(*origin)
	check(err)
	pem, err := os.ReadFile(*ca)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.MaxIdleConnsPerHost = 1000
	transport.ForceAttemptHTTP2 = *protocol == "h2"
	if *protocol == "h1" {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	known := sha256.Sum256([]byte(os.Getenv("TOKEN")))
	credential := "Bearer " + os.Getenv("CREDENTIAL")
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(target)
			headers := request.Out.Header
			headers.Set("Authorization", credential)
			headers.Set("Impersonate-User", "alice")
			headers["Impersonate-Group"] = []string{"dev", "ops", "system:authenticated"}
		},
	}
	handler := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		presented := sha256.Sum256([]byte(strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")))
		if subtle.ConstantTimeCompare(presented[:], known[:]) != 1 {
			http.Error(writer, "Unauthorized", http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(writer, request)
	})
	check((&http.Server{Addr: *listen, Handler: handler}).ListenAndServeTLS(*certificate, *key))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
