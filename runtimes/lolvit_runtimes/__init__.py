"""The runtimes that open an artifact, behind one interface (`session.Session`), and what they need:
photos turned into inputs, and files from elsewhere kept at arm's length."""
