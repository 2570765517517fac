package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// watchConfigMaps is what a controller does: a shared informer over the config maps of a namespace, with a token from a
// file. It tells what happens as lines of JSON, and what it knows ("state") for each line it reads. It ends with its
// standard input.
func watchConfigMaps() int {
	server := flag.String("server", "", "URL of the server; without it the configuration of a pod is taken")
	ca := flag.String("ca-file", "", "certificate authorities to trust")
	token := flag.String("token-file", "", "file of the bearer token")
	namespace := flag.String("namespace", "default", "whose config maps")
	protobuf := flag.Bool("protobuf", false, "ask for protobuf instead of JSON")
	flag.Parse()
	config := &rest.Config{
		Host:            *server,
		BearerTokenFile: *token,
		TLSClientConfig: rest.TLSClientConfig{CAFile: *ca},
	}
	if *server == "" {
		var err error
		if config, err = rest.InClusterConfig(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if *protobuf {
		config.ContentType = "application/vnd.kubernetes.protobuf"
	}
	lines := &teller{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return told{next, lines} })
	if err := watch(config, *namespace, lines); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func watch(config *rest.Config, namespace string, lines *teller) error {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(clients, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().ConfigMaps().Informer()
	name := func(object any) string { return object.(*corev1.ConfigMap).Name }
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { lines.tell(line{"event": "added", "name": name(object)}) },
		UpdateFunc: func(_, object any) { lines.tell(line{"event": "updated", "name": name(object)}) },
		DeleteFunc: func(object any) {
			// What was missed is told by a key alone.
			key, _ := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
			lines.tell(line{"event": "deleted", "name": key})
		},
	})
	if err != nil {
		return err
	}
	err = informer.SetWatchErrorHandler(func(_ *cache.Reflector, err error) {
		status := apierrors.APIStatus(nil)
		reason := ""
		if errors.As(err, &status) {
			reason = string(status.Status().Reason)
		}
		lines.tell(line{"event": "error", "reason": reason, "text": err.Error()})
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	factory.Start(ctx.Done())
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			lines.tell(line{"event": "synced"})
		}
	}()
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		names := informer.GetStore().ListKeys()
		sort.Strings(names)
		lines.tell(line{"event": "state", "names": names})
	}
	return nil
}

type line map[string]any

// teller writes lines whole, whoever tells.
type teller struct{ sync.Mutex }

func (t *teller) tell(what line) {
	t.Lock()
	defer t.Unlock()
	text, _ := json.Marshal(what)
	fmt.Println(string(text))
}

// told tells of each request as it is answered, and of each watch as its answer ends.
type told struct {
	next  http.RoundTripper
	lines *teller
}

func (t told) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	watch := query.Get("watch") != ""
	response, err := t.next.RoundTrip(request)
	code, text := 0, ""
	if err != nil {
		text = err.Error()
	} else {
		code = response.StatusCode
		if watch {
			response.Body = body{response.Body, t.lines}
		}
	}
	t.lines.tell(line{
		"event": "request", "code": code, "watch": watch, "text": text,
		"whole": !watch || query.Get("sendInitialEvents") == "true",
	})
	return response, err
}

// body is a watch's. client-go keeps it to itself how that ended.
type body struct {
	io.ReadCloser
	lines *teller
}

func (b body) Read(into []byte) (int, error) {
	count, err := b.ReadCloser.Read(into)
	if err != nil {
		b.lines.tell(line{"event": "ended", "clean": errors.Is(err, io.EOF), "text": err.Error()})
	}
	return count, err
}
