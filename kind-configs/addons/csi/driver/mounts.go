package driver

import (
	"errors"
	"fmt"
	"os"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// bind mounts source at target and makes the target's folder where it is missing; an existing
// mount there is left as it is, since the caller may repeat what it asked.
func bind(source, target string, readonly bool) error {
	if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	mounted, err := mountinfo.Mounted(target)
	if err != nil {
		return err
	}
	if !mounted {
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind mount of %s at %s: %w", source, target, err)
		}
	}
	if readonly {
		if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return errors.Join(fmt.Errorf("read-only remount of %s: %w", target, err), unbind(target))
		}
	}
	return nil
}

// unbind removes every mount at target; none, or no such folder, is no error.
func unbind(target string) error {
	for {
		mounted, err := mountinfo.Mounted(target)
		if errors.Is(err, os.ErrNotExist) || (err == nil && !mounted) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount of %s: %w", target, err)
		}
	}
}

// removeEmpty removes a folder that pods no longer see. It never removes content: with anything
// in it, the folder was not ours to remove.
func removeEmpty(target string) error {
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// mountsLike gives every mount point that shows the same folder as the mount at path, that one
// included; none if nothing is mounted there. The mount table is the only record that cannot be
// out of date.
func mountsLike(path string) ([]string, error) {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, err
	}
	var model *mountinfo.Info
	for _, mount := range mounts {
		if mount.Mountpoint == path {
			model = mount
		}
	}
	if model == nil {
		return nil, nil
	}
	points := []string{}
	for _, mount := range mounts {
		if mount.Root == model.Root && mount.Major == model.Major && mount.Minor == model.Minor {
			points = append(points, mount.Mountpoint)
		}
	}
	return points, nil
}
