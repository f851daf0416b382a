// Command go-server is a door inside a Go program: pages and a chat on one port,
// without a backend behind.
//
//	go-server -pages FOLDER,FOLDER
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/wss"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8443", "where to listen")
	pages := flag.String("pages", "examples/plain,js/client/dist", "`folders` of the pages")
	state := flag.String("state", "examples/go-server/out", "`folder` of the development authority")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *address, strings.Split(*pages, ","), *state); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address string, pages []string, state string) error {
	inner, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer inner.Close()
	site := fmt.Sprintf("localhost:%d", inner.Addr().(*net.TCPAddr).Port)
	door, err := newDoor(site)
	if err != nil {
		return err // all mistakes at once
	}
	certificates, err := authority(state)
	if err != nil {
		return err
	}
	profile, err := wss.TLSConfig(wss.Config{Certificates: certificates})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("/chat", door)
	mux.Handle("/", door.Secure(files(pages)))
	server := &http.Server{Handler: mux}
	// The door's own listener reads heads strictly; a plain ListenAndServeTLS would do.
	listener := wss.Listen(inner, wss.Options{TLS: profile})
	defer listener.Close()
	listener.Install(server)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }() // ends with Shutdown
	log.Printf("https://%s, with a certificate of %s", site, filepath.Join(state, "dev-ca.pem"))

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// Half of this is for clients to move to another server, which a development
	// machine does not have.
	last, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return errors.Join(door.Drain(last), server.Shutdown(last))
}

// newDoor has one gate, a room in which everybody hears everybody.
func newDoor(site string) (*sallyport.Door, error) {
	door, err := sallyport.New(sallyport.Config{
		Origin: origin.Config{Trusted: []string{"https://" + site}, Dev: true},
		Auth:   auth.Anonymous("an example for everybody"), // or auth.First(tokens), auth.First(sessions) …
	})
	if err != nil {
		return nil, err
	}
	door.Handle("GET /chat", sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		for m, err := range c.Messages(ctx) {
			if err != nil {
				return err
			}
			m.Data = append([]byte("somebody: "), m.Data...)
			door.Broadcast(door.Conns(), m)
		}
		return nil
	}))
	return door, nil
}

// authority makes a certificate for this machine, of an authority kept in dir.
func authority(dir string) (wss.Certificates, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ca, err := wss.OpenDevCA(dir)
	if err != nil {
		return nil, err
	}
	return ca.For("localhost", "127.0.0.1")
}

// files serves what the first of the folders that has it has; "/" is index.html.
func files(folders []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "" {
			name = "index.html"
		}
		for _, folder := range folders {
			root, err := os.OpenRoot(folder)
			if err != nil {
				continue
			}
			defer root.Close()
			if info, err := root.Stat(name); err == nil && info.Mode().IsRegular() {
				http.ServeFileFS(w, r, root.FS(), name)
				return
			}
		}
		http.NotFound(w, r)
	})
}
