"""The rule that turns a history into a verdict. Pure: nothing here touches a cluster or a disk."""
