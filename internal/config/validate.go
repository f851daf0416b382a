package config

func (l *loader) validate() {}
