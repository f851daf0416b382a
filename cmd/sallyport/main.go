// Command sallyport is the guarded door for WebSockets.
package main

import (
	"context"
	"os"

	"github.com/sallyport/sallyport/internal/app/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Environ()}))
}
