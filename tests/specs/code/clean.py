"""The code that specs of these tests come with; nothing runs it."""

print("clean")
