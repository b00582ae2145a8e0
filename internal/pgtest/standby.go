package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Standby copies the cluster of a running server and starts a standby on the copy. From its return on, each commit of
// the server waits until the standby has it too.
func (s *Server) Standby() (*Server, error) {
	dir, err := os.MkdirTemp("", "latchkey-postgres-")
	if err != nil {
		return nil, err
	}
	b := &Server{dir: dir, args: append(slices.Clip(s.args), "-c", "wal_retrieve_retry_interval=100ms")}
	if err := b.follow(s); err != nil {
		b.Stop()
		return nil, fmt.Errorf("starting a standby: %w", err)
	}
	return b, nil
}

func (s *Server) follow(primary *Server) (err error) {
	if s.as, err = Unprivileged(s.dir); err != nil {
		return err
	}
	copying := exec.Command("pg_basebackup", "--pgdata", s.data(), "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
		"--host=127.0.0.1", fmt.Sprintf("--port=%d", primary.port), "--username=latchkey", "--no-password")
	copying.SysProcAttr, copying.Dir = s.as, s.dir
	if out, err := copying.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	if s.port, err = FreePort(); err != nil {
		return err
	}
	if err := s.Run(); err != nil {
		return err
	}
	return primary.Await("SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
		"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
}

// Promote makes a server of a standby, and waits until it can be written.
func (s *Server) Promote() error {
	return s.Await("SELECT NOT pg_is_in_recovery()", "SELECT pg_promote(false)")
}

// Await runs statements on the server, and then waits until the answer to a question is true.
func (s *Server) Await(question string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.Address())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, text := range statements {
		if _, err := conn.Exec(ctx, text); err != nil {
			return err
		}
	}
	for {
		var yes bool
		if err := conn.QueryRow(ctx, question).Scan(&yes); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), errors.New(strings.ToLower(question)))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Pause stops the processes of the server, as if its machine did not answer, until [Server.Resume].
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets the processes of the server go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	_ = s.cmd.Process.Signal(signal)
	for _, pid := range s.children() {
		_ = syscall.Kill(pid, signal)
	}
}

// Shutdown ends the server and leaves its files: fast, in which it ends its connections and writes everything down, or
// immediately, as in a crash.
func (s *Server) Shutdown(fast bool) {
	if fast {
		s.end(syscall.SIGINT)
		return
	}
	s.end(syscall.SIGQUIT)
}
