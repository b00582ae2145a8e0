package move

// SetPage makes the pages of the first copy smaller, so that few rows fill several of them.
func (m *Move) SetPage(rows int) { m.page = rows }
