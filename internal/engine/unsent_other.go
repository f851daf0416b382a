//go:build !linux

package engine

import "net"

// BoundUnsent does nothing here: the systems whose kernels take megabytes ahead
// have no such bound, or another name for it.
func BoundUnsent(net.Conn) {}
