package pgtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// Proxy stands between clients and a server. It reads the messages of both, and can cut a connection at
// the commit of a transaction, or at any message. [Proxy.Lead] leads the next connections to another server.
type Proxy struct {
	listener net.Listener

	mu            sync.Mutex
	server        string
	open          map[net.Conn]bool
	before, after int // commits that will be cut
	request       int // counts down to the message of a client that is cut
	answer        int // and to that of the server
	cuts          int
	wait          sync.WaitGroup
}

// NewProxy starts a proxy on the loopback interface, in front of the server at a host and port.
func NewProxy(server string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, server: server, open: make(map[net.Conn]bool)}
	p.wait.Go(p.accept)
	return p, nil
}

// Host returns the host and port at which the proxy listens.
func (p *Proxy) Host() string { return p.listener.Addr().String() }

// Address returns the address of the server's database through the proxy.
func (p *Proxy) Address() string {
	return fmt.Sprintf("postgres://latchkey@%s/postgres?sslmode=disable", p.Host())
}

// CutBefore cuts the connection of the next commit, which the server does not see.
func (p *Proxy) CutBefore() { p.arm(&p.before) }

// CutAfter cuts the connection of the next commit when the server has answered it. The client does not
// see the answer.
func (p *Proxy) CutAfter() { p.arm(&p.after) }

func (p *Proxy) arm(n *int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*n++
}

// CutAt cuts a connection before the n-th message of a client from now on, and before the n-th of the server,
// whichever comes first. 0 cuts neither.
func (p *Proxy) CutAt(request, answer int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.request, p.answer = request, answer
}

// step counts a message, and reports whether it is cut.
func (p *Proxy) step(n *int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *n == 0 {
		return false
	}
	if *n--; *n > 0 {
		return false
	}
	p.request, p.answer = 0, 0
	p.cuts++
	return true
}

// Cuts returns the number of connections that were cut at a message.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// cut says how a commit is cut: not, before or after the server sees it.
func (p *Proxy) cut() (before, after bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.before > 0:
		p.before--
		before = true
	case p.after > 0:
		p.after--
		after = true
	default:
		return false, false
	}
	p.cuts++
	return before, after
}

// Lead leads new connections to another server, and cuts the present ones.
func (p *Proxy) Lead(server string) {
	p.mu.Lock()
	p.server = server
	p.mu.Unlock()
	p.cutAll()
}

func (p *Proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close()
	}
}

// Close cuts every connection and ends the proxy.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.cutAll()
	p.wait.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			p.cutAll() // those that came while Close was cutting
			return
		}
		p.mu.Lock()
		server := p.server
		p.open[client] = true
		p.mu.Unlock()
		p.wait.Go(func() {
			p.serve(client, server)
			p.mu.Lock()
			delete(p.open, client)
			p.mu.Unlock()
		})
	}
}

func (p *Proxy) serve(client net.Conn, server string) {
	defer client.Close()
	upstream, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	w := &wire{client: client, upstream: upstream, texts: make(map[string]string)}
	p.wait.Go(func() {
		defer client.Close()
		w.answers(p)
	})
	defer upstream.Close()
	w.requests(p)
}

// wire is one connection through a proxy.
type wire struct {
	client, upstream net.Conn
	texts            map[string]string // of the client's prepared statements, by name

	mu   sync.Mutex
	deaf bool // the client gets no more answers
}

// maxMessage is more than any message of the tests has.
const maxMessage = 1 << 28

// message reads one message. The first one of a client has no type.
func message(r *bufio.Reader, first bool) (kind byte, whole []byte, err error) {
	head := 5
	if first {
		head = 4
	}
	whole = make([]byte, head)
	if _, err := io.ReadFull(r, whole); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(whole[head-4:])
	if n < 4 || n > maxMessage {
		return 0, nil, fmt.Errorf("a message of %d bytes", n)
	}
	whole = append(whole, make([]byte, n-4)...)
	if _, err := io.ReadFull(r, whole[head:]); err != nil {
		return 0, nil, err
	}
	if !first {
		kind = whole[0]
	}
	return kind, whole, nil
}

// requests passes the client's messages on, until one of them is cut.
func (w *wire) requests(p *Proxy) {
	from, to := bufio.NewReader(w.client), bufio.NewWriter(w.upstream)
	for first := true; ; first = false {
		kind, whole, err := message(from, first)
		if err != nil {
			return
		}
		if p.step(&p.request) {
			_ = to.Flush()
			return
		}
		if w.commits(kind, whole) {
			before, after := p.cut()
			if before {
				_ = to.Flush()
				return
			}
			if after {
				w.mu.Lock()
				w.deaf = true
				w.mu.Unlock()
			}
		}
		if _, err := to.Write(whole); err != nil {
			return
		}
		if from.Buffered() == 0 {
			if err := to.Flush(); err != nil {
				return
			}
		}
	}
}

// commits reports whether a message of the client runs a COMMIT.
func (w *wire) commits(kind byte, whole []byte) bool {
	if kind == 0 {
		return false
	}
	body := whole[5:]
	first, rest, _ := bytes.Cut(body, []byte{0})
	second, _, _ := bytes.Cut(rest, []byte{0})
	switch kind {
	case 'Q':
		return string(first) == "COMMIT"
	case 'P':
		w.texts[string(first)] = string(second)
	case 'B': // the name of a portal, then that of a statement
		return w.texts[string(second)] == "COMMIT"
	}
	return false
}

// answers passes the server's messages on. A deaf client gets none of them, and loses its connection when the
// server is ready again.
func (w *wire) answers(p *Proxy) {
	from, to := bufio.NewReader(w.upstream), bufio.NewWriter(w.client)
	for {
		kind, whole, err := message(from, false)
		if err != nil || p.step(&p.answer) {
			_ = to.Flush()
			return
		}
		w.mu.Lock()
		deaf := w.deaf
		w.mu.Unlock()
		if deaf {
			if kind == 'Z' {
				return
			}
			continue
		}
		if _, err := to.Write(whole); err != nil {
			return
		}
		if from.Buffered() == 0 {
			if err := to.Flush(); err != nil {
				return
			}
		}
	}
}
