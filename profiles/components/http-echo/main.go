// Command http-echo is what the cluster's tests run in pods. As a server it says who
// answered, and fetches an address as seen from inside the pod; as `http-echo get URL`
// it does the same for an exec into the pod. It has no other use.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	address = ":8080"
	// Longer than a resolver's own timeout, so that its error is the one reported.
	fetchTimeout = 15 * time.Second
	// What is fetched is a line or two; a test must not fill the pod's memory.
	fetchLimit = 1 << 20
)

func main() {
	log.SetOutput(os.Stdout)
	log.SetFlags(log.LstdFlags | log.Lmicroseconds | log.LUTC)
	switch args := os.Args[1:]; {
	case len(args) == 0:
		if err := serve(); err != nil {
			log.Fatal(err)
		}
	case len(args) == 2 && args[0] == "get":
		status, body, err := fetch(context.Background(), args[1])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d\n%s", status, body)
		if status >= 400 {
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: http-echo [get URL]")
		os.Exit(2)
	}
}

// serve answers until SIGTERM, then finishes the requests it has and returns.
func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("GET /fetch", fetchFor)
	server := &http.Server{Handler: logged(mux), ReadHeaderTimeout: 5 * time.Second}
	finished := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		finished <- server.Shutdown(grace)
	})
	log.Printf("listening on %s", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	err = <-finished
	log.Print("stopped")
	return err
}

func hello(w http.ResponseWriter, _ *http.Request) {
	name, err := os.Hostname()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "%s slipway ok\n", name)
}

func fetchFor(w http.ResponseWriter, r *http.Request) {
	status, body, err := fetch(r.Context(), r.FormValue("url"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintf(w, "%d\n%s", status, body)
}

func fetch(ctx context.Context, url string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, fetchLimit))
	return response.StatusCode, body, err
}

// logged writes a line per request: who asked, for what, and what they got.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		log.Printf("%s %s %s %d", r.RemoteAddr, r.Method, r.RequestURI, seen.status)
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}
