package main

import (
	"example.com/latchkey"
	"example.com/latchkey/notify/sms"
	"example.com/latchkey/notify/smtp"
	"example.com/latchkey/notify/templates"
)

// messages configures mail and SMS, each if the environment asks for it.
func (h *host) messages(engine *latchkey.Config) error {
	c := h.config
	words, err := templates.New(templates.Config{App: c.projectName})
	if err != nil {
		return err
	}
	if c.smtpAddr != "" {
		h.mailer, err = smtp.New(smtp.Config{
			Addr: c.smtpAddr, Security: smtp.Plain, From: "noreply@localhost", Hello: "localhost", Templates: words,
		})
		if err != nil {
			return err
		}
		engine.Notifier = h.mailer
	}
	if c.smsWebhook != "" {
		webhook, err := sms.NewWebhook(c.smsWebhook, c.smsSecret, nil)
		if err != nil {
			return err
		}
		engine.SMS = sms.Notifier(webhook, words)
	}
	return nil
}

// closeMailer closes the kept connections to the mail server.
func (h *host) closeMailer() error {
	if h.mailer == nil {
		return nil
	}
	return h.mailer.Close()
}
