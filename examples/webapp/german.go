package main

import (
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

// germanMails are the mails in German, beside the English ones of package templates.
var germanMails = []templates.Template{
	german(notify.MagicURL, "Anmeldung bei {{.App}}", "Mit diesem Link melden Sie sich bei {{.App}} an:", "Wenn Sie das nicht angefordert haben, können Sie diese E-Mail ignorieren. Geben Sie den Link nicht weiter."),
	german(notify.EmailOTP, "Code für {{.App}}", "Ihr Code zur Anmeldung bei {{.App}}:", "Wenn Sie das nicht angefordert haben, können Sie diese E-Mail ignorieren. Geben Sie den Code nicht weiter."),
	german(notify.EmailVerification, "E-Mail-Adresse bestätigen für {{.App}}", "Mit diesem Link bestätigen Sie Ihre E-Mail-Adresse bei {{.App}}:", "Wenn Sie dort kein Konto haben, können Sie diese E-Mail ignorieren."),
	german(notify.EmailChange, "Neue E-Mail-Adresse bei {{.App}} bestätigen", "Mit diesem Link wird dies die E-Mail-Adresse Ihres Kontos bei {{.App}}. Öffnen Sie ihn dort, wo Sie angemeldet sind:", "Bis dahin behält das Konto seine bisherige Adresse. Wenn Sie dort kein Konto haben, können Sie diese E-Mail ignorieren."),
	german(notify.Recovery, "Neues Passwort für {{.App}}", "Mit diesem Link setzen Sie ein neues Passwort für Ihr Konto bei {{.App}}:", "Wenn Sie das nicht angefordert haben, können Sie diese E-Mail ignorieren. Ihr Passwort bleibt, wie es ist."),
	german(notify.Challenge, "Bestätigungscode für {{.App}}", "Ihr Code bei {{.App}}:", "Wenn Sie ihn nicht angefordert haben, kennt vielleicht jemand Ihr Passwort: Ändern Sie es jetzt. Geben Sie den Code nicht weiter."),
	german(notify.Invitation, "Einladung in das Team {{.Team.Plain}} bei {{.App}}", "{{if .Inviter.Plain}}{{.Inviter}} lädt Sie{{else}}Sie sind{{end}} in das Team {{.Team}} bei {{.App}} ein{{if not .Inviter.Plain}}geladen{{end}}. Mit diesem Link antworten Sie:", "Wenn Sie den Absender nicht kennen, können Sie diese E-Mail ignorieren. Die Wörter in Anführungszeichen stammen von anderen Personen."),
	german(notify.EmailChanged, "Ihre E-Mail-Adresse bei {{.App}} wurde geändert", "Dies ist nicht mehr die E-Mail-Adresse Ihres Kontos bei {{.App}}. Wenn Sie das waren, müssen Sie nichts tun. Wenn nicht, {{if .Link}}holen Sie die Adresse mit diesem Link zurück:{{else}}wenden Sie sich sofort an {{.App}}.{{end}}", ""),
	german(notify.SessionAlert, "Neue Anmeldung bei {{.App}}", "Bei Ihrem Konto bei {{.App}} gab es eine neue Anmeldung.", notYou),
	german(notify.PasswordChanged, "Ihr Passwort bei {{.App}} wurde geändert", "Das Passwort Ihres Kontos bei {{.App}} wurde geändert.{{if .HasPasskeys}} Ihre Passkeys bleiben, wie sie sind. Sehen Sie sie durch und entfernen Sie fremde.{{end}}", notYou),
	german(notify.FactorsChanged, "Ihre Zwei-Faktor-Anmeldung bei {{.App}} wurde geändert", `{{if eq .Change "authenticator-added"}}Eine Authenticator-App wurde eingerichtet.{{else if eq .Change "authenticator-removed"}}Die Authenticator-App wurde entfernt.{{else if eq .Change "mfa-on"}}Die Zwei-Faktor-Anmeldung wurde eingeschaltet.{{if .HasPasskeys}} Sehen Sie Ihre Passkeys durch und entfernen Sie fremde.{{end}}{{else if eq .Change "mfa-off"}}Die Zwei-Faktor-Anmeldung wurde ausgeschaltet.{{else if eq .Change "recovery-codes"}}Neue Wiederherstellungscodes wurden erstellt.{{else if eq .Change "passkey-added"}}Ein Passkey wurde hinzugefügt.{{else if eq .Change "passkey-removed"}}Ein Passkey wurde entfernt.{{else if eq .Change "passkey-synced"}}Ein Passkey ist auf mehrere Ihrer Geräte gekommen.{{else if eq .Change "passkey-cloned"}}Ein Passkey wurde verwendet, von dem es vielleicht eine Kopie gibt. Bitte entfernen Sie ihn, wenn Sie sich nicht sicher sind.{{else}}Ihre zweiten Faktoren wurden geändert.{{end}}`, notYou),
	german(notify.IdentityChanged, "Ihre verknüpften Dienste bei {{.App}} wurden geändert", "Ein Konto bei einem anderen Dienst wurde mit Ihrem Konto bei {{.App}} verknüpft oder davon getrennt.", notYou),
	german(notify.AccountDeleted, "Ihr Konto bei {{.App}} wurde gelöscht", "Ihr Konto bei {{.App}} wurde mit allem darin gelöscht.", "Wenn Sie das nicht waren, wenden Sie sich sofort an {{.App}}."),
}

// notYou is the end of a notice.
const notYou = "Wenn Sie das waren, müssen Sie nichts tun. Wenn nicht, setzen Sie jetzt ein neues Passwort."

// german returns the template of a mail: a beginning, the link or the code with the time that is left, the phrase
// of a code, and an end.
func german(kind notify.Kind, subject, begin, end string) templates.Template {
	const (
		valid  = `{{if .ValidNumber}}Gilt einmal, noch {{.ValidNumber}} {{if eq .ValidUnit "minute"}}Minute(n){{else if eq .ValidUnit "hour"}}Stunde(n){{else}}Tag(e){{end}}.{{end}}`
		phrase = `{{with .Phrase}}Diese Wörter haben Sie auf der Seite gesehen: {{.}}{{end}}`
	)
	return templates.Template{
		Kind: kind, Locale: "de", Subject: subject,
		Text: begin + "\n\n{{with .Link}}{{.}}\n\n{{end}}{{with .Code}}    {{.}}\n\n{{end}}" + valid + "\n" + phrase + "\n" + end + "\n\n-- \n{{.App}}\n",
		HTML: `{{template "top" .}}<p>` + begin + `</p>{{with .Link}}<p><a href="{{.}}">{{.}}</a></p>{{end}}{{with .Code}}<p><b>{{.}}</b></p>{{end}}<p>` + valid + " " + phrase + "</p><p>" + end + `</p>{{template "bottom" .}}`,
	}
}
