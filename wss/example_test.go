package wss_test

import (
	"log"
	"net"
	"net/http"

	"github.com/sallyport/sallyport/wss"
)

// A server behind the strict listener: what "sallyport serve" does.
func ExampleListen() {
	files, err := wss.OpenFiles([]wss.File{{Cert: "chain.pem", Key: "key.pem"}})
	if err != nil {
		log.Fatal(err)
	}
	profile, err := wss.TLSConfig(wss.Config{Certificates: files})
	if err != nil {
		log.Fatal(err)
	}
	inner, err := net.Listen("tcp", ":443")
	if err != nil {
		log.Fatal(err)
	}
	listener := wss.Listen(inner, wss.Options{TLS: profile})
	server := &http.Server{Handler: http.NotFoundHandler()} // the door
	listener.Install(server)
	log.Fatal(server.Serve(listener))
}
