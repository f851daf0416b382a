// Package client connects Go programs to a door, or to any WebSocket server, and
// keeps the connection well.
//
//	c, err := client.New("wss://app.example.com/chat", client.Options{
//		TicketURL: "https://app.example.com/sallyport/ticket",
//		Token:     func(ctx context.Context, why client.Why) (string, error) { return login(ctx, why) },
//		OnState:   func(s client.State) { slog.Info("connection", "status", s.Status, "err", s.Err) },
//		OnUnknown: func(lost []client.Message) { slog.Warn("may not have arrived", "messages", len(lost)) },
//	})
//	if err != nil {
//		log.Fatal(err) // all mistakes at once
//	}
//	defer c.Close(context.Background())
//
//	if err := c.Send(ctx, client.Message{Kind: client.Text, Data: []byte("hello")}); err != nil {
//		return err // it was not sent
//	}
//	for m, err := range c.Messages(ctx) {
//		if err != nil {
//			return err // the door does not want us back, or nobody is signed in
//		}
//		fmt.Printf("%s\n", m.Data)
//	}
//
// [Dial] makes one connection that never reconnects, [New] a client that does,
// and [NetConn] shows a connection as a net.Conn. With a [Seal] each of them is
// sealed above TLS, to the server that the program has pinned. Over sallyport.v1
// (spec/protocol.md) a client learns the limits in force and keeps to them, sees
// a server die within its heartbeat, renews its credential without a new
// connection, moves before a restart, and knows how much has arrived. With
// [Options.Plain], and with servers that do not speak it, a connection is an
// ordinary WebSocket (RFC 6455) with pings of its own.
//
// What it stops: plaintext and servers that TLS cannot verify, unless told by
// name; with a Seal, everybody who ends TLS in between; tickets in URLs and logs;
// storms of clients that come back together (full jitter, 500 ms to 30 s);
// hammering by a client that is refused (the table of reasons in package deny
// decides); memory without bounds: queues, buffers, messages and heads have limits
// that [Options] lists. Times of a server are relative: no clock is compared with
// another's, but for the end of sealing keys.
//
// What it does not: promise delivery. Send says that a message was handed to a
// connection; what was in flight when that was lost is reported as unknown and
// never sent twice. It does not compress and follows no redirect.
package client
