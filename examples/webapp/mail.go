package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

// mailbox writes mails to a file or to the terminal, so that the first run needs no mail server. A host that
// sends them has a Mailer of package notify/smtp in its place.
type mailbox struct {
	words *templates.Set
	mu    sync.Mutex
	file  *os.File
}

func openMail(name, app string) (*mailbox, error) {
	words, err := templates.New(templates.Config{App: app, Templates: germanMails})
	if err != nil {
		return nil, err
	}
	m := &mailbox{words: words, file: os.Stdout}
	if name != "" {
		m.file, err = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	}
	return m, err
}

// Notify writes a message.
func (m *mailbox) Notify(_ context.Context, message notify.Message) error {
	mail, err := m.words.Render(message)
	if err != nil {
		return notify.Permanent(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err = fmt.Fprintf(m.file, "\nTo: %s\nSubject: %s\n\n%s\n", message.To, mail.Subject, mail.Text)
	return err
}

func (m *mailbox) Close() error {
	if m.file == os.Stdout {
		return nil
	}
	return m.file.Close()
}
