package smtp

import (
	"context"
	"net"
)

// DialWith replaces the connection to the server.
func (m *Mailer) DialWith(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	m.dialer = dial
}
