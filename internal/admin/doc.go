// Package admin is the administrator's API: who is connected, end them, revoke,
// mint a ticket, show and reload the configuration.
//
// It stops the ways by which such an API falls to others: a page in a browser of
// the same machine (cross-site requests to loopback, DNS rebinding: requests with
// Origin, Cookie or Sec-Fetch-Site are refused, and over TCP the Host is
// checked), another account (the unix socket has mode 0600; over TCP a bearer
// token of at least 256 bits is compared in constant time), and a slip of the
// hand (ending everybody needs all=true). It does not tell administrators apart:
// who reaches it may do everything.
//
//	GET    /connections?gate=&issuer=&subject=&session=&credential=&address=&origin=&id=&limit=
//	DELETE /connections?(the same filters)|all=true     ends with admin.closed: {"ended": 3}
//	POST   /revocations {issuer, subject, session, credential, issued_before}: {"ended": 3}
//	POST   /tickets {gate, subject, issuer, session, scopes, expires_in, origin}: {"ticket": …}
//	GET    /config                                      the effective configuration, masked
//	POST   /reload                                      as SIGHUP does
//
// Bodies are one JSON object of at most 16 KiB without unknown names; answers
// are JSON and never cached. By default at most 1,000 connections are listed, at
// most 10,000 in any case. A mistake is {"error": code, "message": sentence}.
package admin
