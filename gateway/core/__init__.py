"""Pure: decides from the values it is given. Specs, records and the protocols between the parts are declared here."""
